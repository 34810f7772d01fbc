package replay

import (
	"bufio"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"
)

// reels are the files of a record, read one after the other.
type reels struct {
	files []string
	// uses are, of each file, the entries whose replies later ones refer to, by number,
	// and the last that does: until then the reply is kept.
	uses []map[int]int

	first  header // of the first file that has one
	header header // of the file that is read
	at     int    // its place in files
	open   int    // how many have been opened
	firsts bool   // it is the first that has a header
	file   *os.File
	lines  *bufio.Reader
	bodies map[int]string // of this file, that are referred to still
}

// glance is what is to be known of an entry beforehand.
type glance struct {
	Number   int       `json:"n"`
	Sent     time.Time `json:"sent"`
	Received time.Time `json:"received"`
	Op       string    `json:"op"`
	Same     int       `json:"same"`
	Missed   int64     `json:"missed"`
	Kept     bool      `json:"kept"`
}

// next is the next entry, with its reply. Those that were copied from a file before are
// left out. The error is io.EOF after the last.
func (r *reels) next() (*entry, error) {
	for {
		e := new(entry)
		if err := r.line(e); err != nil {
			return nil, err
		}
		if e.Same != 0 {
			e.Body = r.bodies[e.Same]
		}
		if uses := r.uses[r.at]; uses[e.Number] > e.Number {
			r.bodies[e.Number] = e.Body
		} else if uses[e.Same] == e.Number {
			delete(r.bodies, e.Same)
		}
		if !e.Kept || r.firsts {
			return e, nil
		}
	}
}

// line reads the next entry into a value. The error is io.EOF after the last.
func (r *reels) line(into any) error {
	for {
		if r.lines == nil {
			if r.open == len(r.files) {
				return io.EOF
			}
			r.at = r.open
			r.open++
			if err := r.begin(); err != nil {
				return fmt.Errorf("%s: %w", r.files[r.at], err)
			}
			continue
		}
		line, err := readLine(r.lines)
		if over(err) {
			r.close()
			continue
		}
		if err == nil {
			err = json.Unmarshal(line, into)
		}
		if err != nil {
			r.close()
			return fmt.Errorf("%s: %w", r.files[r.at], err)
		}
		return nil
	}
}

// begin opens the next file and reads its header. Without one, as when the disk was full
// before its first line, the file is skipped.
func (r *reels) begin() error {
	f, err := os.Open(r.files[r.at])
	if err != nil {
		return err
	}
	r.file = f
	var line []byte
	z, err := gzip.NewReader(f)
	if err == nil {
		r.lines = bufio.NewReaderSize(z, 1<<16)
		line, err = readLine(r.lines)
	}
	if over(err) {
		r.close()
		return nil
	}
	if err != nil {
		r.close()
		return err
	}
	r.header, r.bodies = header{}, make(map[int]string)
	if err := json.Unmarshal(line, &r.header); err != nil || r.header.Record != form || r.header.Speed != 0 && !(r.header.Speed >= 1 && r.header.Speed <= 1000) {
		r.close()
		return fmt.Errorf("its header is none of a record of form %d", form)
	}
	if r.firsts = r.first.Record == 0; r.firsts {
		r.first = r.header
	}
	return nil
}

func (r *reels) close() {
	if r.file != nil {
		_ = r.file.Close() // it was only read
	}
	r.file, r.lines = nil, nil
}

// over is whether a file ends, maybe early.
func over(err error) bool { return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) }

// lineMost is more than any line of a record: a reply of [bodyMost] with each byte
// escaped. A file of some kilobytes can unpack to one that fills the memory.
const lineMost = 6*bodyMost + maxRequest

// readLine reads up to the end of a line.
func readLine(r *bufio.Reader) (line []byte, err error) {
	for {
		part, err := r.ReadSlice('\n')
		if line = append(line, part...); len(line) > lineMost {
			return nil, fmt.Errorf("a line of it has more than %d bytes", lineMost)
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			return line, err
		}
	}
}
