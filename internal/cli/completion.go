package cli

import (
	"fmt"

	"github.com/spf13/cobra"
)

func completionCommand() *cobra.Command {
	shells := []string{"bash", "zsh", "fish", "powershell"}
	return &cobra.Command{
		Use:   "completion bash|zsh|fish|powershell",
		Short: "Print a script that teaches your shell to complete this command",
		Long: `Print a script that teaches your shell to complete the commands, flags, topics, groups and settings of moldau. For topics, groups
and settings it asks the broker of --bootstrap or MOLDAU_BOOTSTRAP, for a second at most.

  bash        source <(moldau completion bash)        needs the package bash-completion; put it into ~/.bashrc
  zsh         source <(moldau completion zsh)         after compinit, in ~/.zshrc
  fish        moldau completion fish | source         in ~/.config/fish/config.fish
  powershell  moldau completion powershell | Out-String | Invoke-Expression`,
		Args:      cobra.ExactArgs(1),
		ValidArgs: shells,
		RunE: func(c *cobra.Command, args []string) error {
			root, out := c.Root(), c.OutOrStdout()
			switch args[0] {
			case "bash":
				return root.GenBashCompletionV2(out, true)
			case "zsh":
				return root.GenZshCompletion(out)
			case "fish":
				return root.GenFishCompletion(out, true)
			case "powershell":
				return root.GenPowerShellCompletionWithDesc(out)
			}
			return fmt.Errorf("completion %s: want bash, zsh, fish or powershell", args[0])
		},
	}
}
