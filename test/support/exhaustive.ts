/**
 * Tag of a test that tries hundreds of cases or more and takes seconds of processor time for them: `npm test` runs it,
 * `npm run check` names it and leaves it out (`it(name, { tags: [EXHAUSTIVE] }, …)`).
 */
export const EXHAUSTIVE = 'exhaustive';
