import { createProgram } from './cli/program.js';
import { printLine, runProgram } from './cli/run.js';
import { serve } from './cli/serve.js';

await runProgram(() => createProgram({ serve: ({ config }) => serve(config), print: printLine }));
