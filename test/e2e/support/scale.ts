/** `FREEHOLD_FULL=1 npm run test:e2e` runs the long versions; `npm test` the short ones, which find the same kinds of faults. */
export const fullScale = process.env.FREEHOLD_FULL === '1';
