import { runProgram } from '@mvm/settings';
import { createProgram, printLine } from './cli/program.js';
import { serve } from './cli/serve.js';

await runProgram(createProgram({ serve: ({ config }) => serve(config), print: printLine }));
