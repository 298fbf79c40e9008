export const SHELLS = ['bash', 'zsh', 'fish'] as const;
export type Shell = (typeof SHELLS)[number];

/**
 * The stub that a shell loads. It passes the words up to the cursor to `mvm __complete`, which answers with one
 * candidate a line, `<value><TAB><description>`, and `:files` when the shell shall complete file names.
 */
export function completionScript(shell: Shell): string {
  return SCRIPTS[shell];
}

const SCRIPTS: Readonly<Record<Shell, string>> = {
  bash: `# bash completion for mvm; load it with: source <(mvm completion bash)
_mvm_complete() {
  local line cur="\${COMP_WORDS[COMP_CWORD]}"
  COMPREPLY=()
  while IFS= read -r line; do
    if [[ "$line" == ":files" ]]; then
      compopt -o default 2>/dev/null
      COMPREPLY=()
      return
    fi
    line="\${line%%$'\\t'*}"
    [[ "$line" == "$cur"* ]] && COMPREPLY+=("$line")
  done < <("\${COMP_WORDS[0]}" __complete "\${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)
  # A prefix of an address is gone on with, not ended.
  [[ \${#COMPREPLY[@]} -eq 1 && "\${COMPREPLY[0]}" == */ ]] && compopt -o nospace 2>/dev/null
  return 0
}
complete -F _mvm_complete mvm
`,
  zsh: `#compdef mvm
# zsh completion for mvm; load it with: source <(mvm completion zsh)
_mvm() {
  local line value
  local -a described partial
  while IFS= read -r line; do
    if [[ "$line" == ":files" ]]; then
      _files
      return
    fi
    value="\${line%%$'\\t'*}"
    if [[ "$value" == */ ]]; then
      partial+=("$value")
    else
      described+=("\${value//:/\\\\:}:\${line#*$'\\t'}")
    fi
  done < <("\${words[1]}" __complete "\${(@)words[2,CURRENT]}" 2>/dev/null)
  (( \${#partial} )) && compadd -S '' -a partial
  (( \${#described} )) && _describe 'mvm' described
}
if [[ "\${funcstack[1]}" == "_mvm" ]]; then
  _mvm
else
  compdef _mvm mvm
fi
`,
  fish: `# fish completion for mvm; load it with: mvm completion fish | source
function __mvm_complete
  set -l words (commandline -opc) (commandline -ct)
  set -l lines ($words[1] __complete $words[2..-1] 2>/dev/null)
  if contains -- ":files" $lines
    __fish_complete_path (commandline -ct)
    return
  end
  printf '%s\\n' $lines
end
complete -c mvm -f -a '(__mvm_complete)'
`,
};
