package status

import (
	"bytes"
	"fmt"
	"strings"
	"text/tabwriter"
)

// timelineText is a timeline's page in columns of plain text. Whatever AWS says
// stays within its line.
func timelineText(p *timelinePage) []byte {
	var b bytes.Buffer
	line := func(format string, args ...any) {
		for i, a := range args {
			args[i] = oneLine(fmt.Sprint(a))
		}
		fmt.Fprintf(&b, format+"\n", args...)
	}
	line("%s, task %s", p.Title, p.Task)
	line("%s", p.State.Text())
	b.WriteString("\n")
	table := func(rows [][]string) {
		w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
		for _, cells := range rows {
			for i, c := range cells {
				if i > 0 {
					fmt.Fprint(w, "\t")
				}
				fmt.Fprint(w, oneLine(c))
			}
			fmt.Fprintln(w)
		}
		_ = w.Flush() // into memory
		b.WriteString("\n")
	}
	rows := [][]string{{"MILESTONE", "TIME (UTC)", "SINCE " + p.Table.Base, "BOUNDS", "SOURCE", "BY", "EVIDENCE"}}
	for _, m := range p.Table.Rows {
		rows = append(rows, []string{string(m.Kind), m.At.ISO, m.Since, m.Bounds, string(m.Source), string(m.By), m.Evidence})
	}
	table(rows)
	if len(p.Phases) > 0 {
		rows = [][]string{{"PHASE", "TOOK", "AT LEAST", "AT MOST"}}
		for _, ph := range p.Phases {
			rows = append(rows, []string{string(ph.Name), ph.Length, ph.Shortest, ph.Longest})
		}
		table(rows)
	}
	if p.Flow != nil {
		rows = [][]string{{"VERDICT", "SINCE " + p.Flow.Base, "SAYS", "GUARD", "WHY", "CHANGED"}}
		for i := range p.Flow.Steps {
			s := &p.Flow.Steps[i]
			why := s.Line.Sentence
			if s.Line.Target != "" {
				why = s.Line.Target + ": " + why
			}
			rows = append(rows, []string{s.At.ISO, s.Since, s.Line.Word, string(s.Guard), why, strings.Join(s.Changes, ", ")})
		}
		table(rows)
	}
	for i := range p.Verdicts {
		v := &p.Verdicts[i]
		line("Verdict on %s in %s: %s, %s", v.Address, v.Group, v.Line.Word, v.Line.Sentence)
		rows = [][]string{{"GUARD", "SAYS", "REASON", "WHY"}}
		for _, f := range v.Rows {
			rows = append(rows, []string{string(f.Guard), string(f.Decision), string(f.Reason), f.Sentence})
		}
		table(rows)
	}
	for _, d := range p.Detachments {
		what := "Taken out"
		if d.Would {
			what = "Would have been taken out"
		}
		line("%s: %s in %s", what, d.Address, d.Group)
		table(factRows(d.Facts))
	}
	table(factRows(p.Facts))
	return bytes.TrimRight(b.Bytes(), "\n")
}

func factRows(facts []fact) [][]string {
	rows := make([][]string, len(facts))
	for i, f := range facts {
		rows[i] = []string{f.Name, f.Value}
	}
	return rows
}
