/**
 * Tag of a test that takes seconds, since it tries hundreds of cases, starts programs or waits for a clock: `npm test`
 * runs it, `npm run check` names it and leaves it out (`it(name, { tags: [EXHAUSTIVE] }, …)`).
 */
export const EXHAUSTIVE = 'exhaustive';
