import fc from 'fast-check';

/**
 * CI draws the same inputs each time, so that a change is judged by what it changed; everywhere else each run draws new
 * ones, and a failure prints its seed. Models and fixtures that set a seed of their own keep it.
 */
if (process.env.CI === 'true') fc.configureGlobal({ ...fc.readConfigureGlobal(), seed: 20_261_125 });
