/** What several commands share: options, exit codes, words and paragraphs. */
import type { GlobalOption, OptionDescription, WordDescription } from './description.ts';

export const PLACE: readonly GlobalOption[] = ['config', 'root', 'state', 'socket'];
export const PLACE_JSON: readonly GlobalOption[] = [...PLACE, 'json'];
export const ASKING: readonly GlobalOption[] = [...PLACE, 'introspection', 'json'];

export const ENDS = { 0: 'success', 1: 'the command failed', 2: 'wrong usage' };
export const ENDS_ASKING = { ...ENDS, 4: 'no daemon answers' };
export const ENDS_WHAT = {
  ...ENDS_ASKING,
  2: 'wrong usage, or a name that fits several pods',
  3: 'no pod, container or pull of this name',
};
export const ENDS_DAEMON = {
  0: 'after SIGTERM or SIGINT',
  1: 'the start failed, or the actors did: start it again',
  5: 'another process has taken the path of the CRI socket',
  6: 'the daemon that runs has refused --take-over, and goes on',
  78: 'the command line or the configuration is wrong',
};

export const WHAT: WordDescription = { name: 'WHAT', means: 'pod, container or id', completes: 'what' };
export const WHAT_TEXT =
  'WHAT is an id or its beginning, an address (container/3f2a…), a pod (web, default/web), a container (app, web/app, ' +
  "default/web/app) or a pull's image. A name has precedence over the beginning of an id; of several attempts the latest " +
  'is meant.';
export const IMAGE: WordDescription = { name: 'REF', means: 'image reference' };
export const FORMATS_TEXT =
  'SOURCE and TARGET are as in skopeo: oci:DIR[:TAG], oci-archive:FILE[:TAG], docker-archive:FILE[:REF] or dir:DIR. A ' +
  'SOURCE may be a path alone; its format is detected. A TARGET without a format is an archive if it ends with .tar, ' +
  'else a layout.';

export const LOG_LEVEL: OptionDescription = {
  value: 'NAME',
  choices: ['trace', 'debug', 'info', 'warn', 'error'],
  help: 'the least level that is logged, default info',
};
