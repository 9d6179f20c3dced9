/** (state, event) pairs that no seed can take, each with its reason. One that is taken all the same fails the run. */

const OUR_BUG =
  'only a supervisor or a periodic actor that throws, a bug of ours, sends it; test/model takes it';

export const NEVER_TAKEN: ReadonlyMap<string, string> = new Map([
  ['root xstate.error.actor.sandboxes', OUR_BUG],
  ['root xstate.error.actor.containers', OUR_BUG],
  ['root xstate.error.actor.pulls', OUR_BUG],
  ['root.serving xstate.error.actor.janitor', OUR_BUG],
  ['root.serving xstate.error.actor.collector', OUR_BUG],
  [
    'container.finishing.release.notifying xstate.error.actor.0.container.finishing.release.notifying',
    'a plugin that fails or cannot be reached fails no notification (effects/nri-events.ts); test/model takes it',
  ],
  ['root.failed always', 'needs a drain that was under way when such a bug came; test/model takes it'],
  [
    'sandbox.ready sandbox.abandon',
    'sent again only to an actor that crashed, a bug of ours, and was rebuilt from its commit (directory/ask.ts)',
  ],
]);
