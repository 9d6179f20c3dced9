/**
 * Tag of a test that tries each of thousands of cases and takes seconds of processor time for them: `npm test` runs it,
 * `npm run check` names it and leaves it out (`it(name, { tags: [EXHAUSTIVE] }, …)`).
 */
export const EXHAUSTIVE = 'exhaustive';
