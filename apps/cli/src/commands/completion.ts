import { Argument } from 'commander';
import type { CommandModule } from '../command.js';
import { completionScript, SHELLS, type Shell } from '../completion/scripts.js';
import { addHelp, completeWith } from '../help.js';

/** `mvm completion`. */
export const completion: CommandModule = {
  formats: [],
  configure(command) {
    command.addArgument(new Argument('<shell>', 'which shell').choices([...SHELLS]));
    completeWith(command, 'shell');
    addHelp(
      command,
      'Completes commands and options, and the names of tenants, pools, instances and images that there are.',
      [
        ['source <(mvm completion bash)', 'In this bash; in ~/.bashrc for all'],
        ['mvm completion bash | sudo tee /etc/bash_completion.d/mvm', 'For every user of this host'],
        ['source <(mvm completion zsh)', 'In zsh; in ~/.zshrc for all, after compinit'],
        ['mvm completion fish > ~/.config/fish/completions/mvm.fish', 'In fish, for good'],
      ],
    );
  },
  async run(context, invocation) {
    const shell = invocation.operand(0) as Shell;
    context.stdout.write(completionScript(shell));
  },
};
