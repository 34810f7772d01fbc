package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/alecthomas/kong"
)

type completionCmd struct {
	Shell string `arg:"" enum:"bash,zsh,fish" help:"bash, zsh or fish."`
}

func (c completionCmd) Help() string {
	return "Examples:\n\n" +
		"  source <(castoff completion bash)\n" +
		"  castoff completion zsh > \"${fpath[1]}/_castoff\"\n" +
		"  castoff completion fish > ~/.config/fish/completions/castoff.fish\n\n" +
		"The script knows the commands and flags of this version; it asks nobody.\n\n" +
		"Exit codes: 0 printed; 2 another shell.\n"
}

// Run prints the script that has a shell complete castoff's commands, flags and
// the words that flags take.
func (c completionCmd) Run(to streams, app *kong.Kong) error {
	commands := completions(app.Model)
	write := map[string]func([]completed) string{"bash": completeBash, "zsh": completeZsh, "fish": completeFish}[c.Shell]
	_, err := io.WriteString(to.out, write(commands))
	return err
}

// completed is a command as a shell completes it.
type completed struct {
	name, help string
	flags      []completedFlag
	files      bool     // it takes a file
	words      []string // or one of these
}

type completedFlag struct {
	name, help string
	value      bool // it takes one
	repeats    bool
	files, dir bool
	words      []string // that the value can be
}

// completions are the commands of a command line.
func completions(app *kong.Application) []completed {
	var commands []completed
	for _, node := range app.Children {
		if node.Hidden {
			continue
		}
		c := completed{name: node.Name, help: node.Help}
		for _, f := range node.AllFlags(true) {
			for _, flag := range f {
				c.flags = append(c.flags, completedFlag{
					name: flag.Name, help: sentence(flag.Help), value: !flag.IsBool(), repeats: flag.IsSlice(),
					files: flag.PlaceHolder == "FILE", dir: flag.PlaceHolder == "DIR", words: wordsOf(flag.Value),
				})
			}
		}
		for _, p := range node.Positional {
			c.files, c.words = c.files || p.Name == "file", append(c.words, wordsOf(p)...)
		}
		commands = append(commands, c)
	}
	return commands
}

// wordsOf are those that a value can be: its enum, or, where the castoff that is
// asked judges it, those of the tag complete.
func wordsOf(v *kong.Value) []string {
	list := v.Enum
	if list == "" {
		list = v.Tag.Get("complete")
	}
	if list == "" {
		return nil
	}
	return strings.Split(list, ",")
}

// sentence is the first one of a help text: a shell has one line for it.
func sentence(help string) string {
	first, _, _ := strings.Cut(help, ". ")
	return strings.TrimSuffix(first, ".")
}

// quote makes one word of a text for each of the three shells.
func quote(said string) string { return "'" + strings.ReplaceAll(said, "'", `'\''`) + "'" }

func completeBash(commands []completed) string {
	var b strings.Builder
	b.WriteString(`# bash completion of castoff
_castoff() {
    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} words= files=
    # bash splits --flag=value at the sign.
    if [[ $cur == = ]]; then cur=; elif [[ $prev == = ]]; then prev=${COMP_WORDS[COMP_CWORD-2]}; fi
    if ((COMP_CWORD == 1)); then
`)
	var names []string
	for _, c := range commands {
		names = append(names, c.name)
	}
	fmt.Fprintf(&b, "        words=%s\n    else\n        case \"${COMP_WORDS[1]} $prev\" in\n", quote(strings.Join(names, " ")+" --help"))
	for _, c := range commands {
		for _, f := range c.flags {
			does := ":" // its value is anybody's guess
			switch {
			case !f.value:
				continue
			case f.files:
				does = "files=-f"
			case f.dir:
				does = "files=-d"
			case len(f.words) > 0:
				does = "words=" + quote(strings.Join(f.words, " "))
			}
			fmt.Fprintf(&b, "            '%s --%s') %s ;;\n", c.name, f.name, does)
		}
	}
	b.WriteString("            *) case ${COMP_WORDS[1]} in\n")
	for _, c := range commands {
		words := append([]string{}, c.words...)
		for _, f := range c.flags {
			words = append(words, "--"+f.name)
		}
		does := "words=" + quote(strings.Join(words, " "))
		if c.files {
			does += " files=-f"
		}
		fmt.Fprintf(&b, "                %s) %s ;;\n", c.name, does)
	}
	b.WriteString(`            esac ;;
        esac
    fi
    COMPREPLY=()
    local reply
    while IFS= read -r reply; do COMPREPLY+=("$reply"); done < <(
        [[ -z $words ]] || compgen -W "$words" -- "$cur"
        [[ -z $files ]] || compgen "$files" -- "$cur"
    )
    [[ -z $files ]] || compopt -o filenames 2>/dev/null
}
complete -F _castoff castoff
`)
	return b.String()
}

func completeZsh(commands []completed) string {
	// In the specifications of _arguments and _describe these have a meaning.
	escape := strings.NewReplacer(`\`, `\\`, ":", `\:`, "[", `\[`, "]", `\]`).Replace
	var b strings.Builder
	b.WriteString(`#compdef castoff
_castoff() {
    local context state line
    typeset -A opt_args
    _arguments -C '--help[show help]' '1:command:->command' '*::argument:->argument'
    case $state in
    command)
        local -a commands=(
`)
	for _, c := range commands {
		fmt.Fprintf(&b, "            %s\n", quote(c.name+":"+escape(sentence(c.help))))
	}
	b.WriteString("        )\n        _describe command commands ;;\n    argument)\n        case $words[1] in\n")
	for _, c := range commands {
		fmt.Fprintf(&b, "        %s) _arguments", c.name)
		for _, f := range c.flags {
			spec := "--" + f.name
			if f.repeats {
				spec = "*" + spec
			}
			if f.value {
				spec += "="
			}
			spec += "[" + escape(f.help) + "]"
			switch {
			case f.files:
				spec += ":file:_files"
			case f.dir:
				spec += ":directory:_files -/"
			case f.value:
				spec += ":" + f.name + ":(" + strings.Join(f.words, " ") + ")"
			}
			b.WriteString(" \\\n            " + quote(spec))
		}
		switch {
		case c.files:
			b.WriteString(" \\\n            '1:file:_files'")
		case len(c.words) > 0:
			b.WriteString(" \\\n            " + quote("1:word:("+strings.Join(c.words, " ")+")"))
		}
		b.WriteString(" ;;\n")
	}
	// Read from fpath it is the function's own body, else it is only defined.
	b.WriteString(`        esac ;;
    esac
}
if [[ $funcstack[1] == _castoff ]]; then _castoff "$@"; else compdef _castoff castoff; fi
`)
	return b.String()
}

func completeFish(commands []completed) string {
	var b strings.Builder
	b.WriteString("# fish completion of castoff\ncomplete -c castoff -f\ncomplete -c castoff -n __fish_use_subcommand -l help -d 'Show help'\n")
	for _, c := range commands {
		fmt.Fprintf(&b, "complete -c castoff -n __fish_use_subcommand -a %s -d %s\n", c.name, fishQuote(sentence(c.help)))
	}
	for _, c := range commands {
		on := "complete -c castoff -n '__fish_seen_subcommand_from " + c.name + "'"
		for _, f := range c.flags {
			fmt.Fprintf(&b, "%s -l %s -d %s", on, f.name, fishQuote(f.help))
			switch {
			case f.files:
				b.WriteString(" -r -F")
			case f.dir:
				b.WriteString(" -x -a '(__fish_complete_directories)'")
			case f.value:
				fmt.Fprintf(&b, " -x -a %s", fishQuote(strings.Join(f.words, " ")))
			}
			b.WriteString("\n")
		}
		switch {
		case c.files:
			b.WriteString(on + " -F\n")
		case len(c.words) > 0:
			fmt.Fprintf(&b, "%s -a %s\n", on, fishQuote(strings.Join(c.words, " ")))
		}
	}
	return b.String()
}

// fishQuote is fish's own: a backslash goes before a quote within it.
func fishQuote(said string) string {
	return "'" + strings.NewReplacer(`\`, `\\`, "'", `\'`).Replace(said) + "'"
}
