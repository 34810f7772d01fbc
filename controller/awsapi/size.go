package awsapi

import (
	"bytes"
	"errors"
	"fmt"
)

// size is how large a reply may be: in bytes, after decompression, and in parts,
// which are objects and lists in JSON and elements in XML. Some few bytes of a part
// become some hundred in memory, so that bytes alone bound nothing.
type size struct {
	bytes int64
	parts int
}

// sizes are above anything that AWS can send. By its own limits, which are in the
// API references of ECS and ELBv2: a page of ARNs has 100 of at most 600 bytes; a
// service has 100 events of 1 kB and 50 tags; a cluster 50 tags; a task 10
// containers, each with a reason of 1 kB, and 8 kB of overrides; a definition 64 kB;
// an instance 100 attributes; a target group 1,000 targets of 13 elements.
var sizes = map[string]size{
	"ListClusters":                  {256 << 10, 64},
	"ListServices":                  {256 << 10, 64},
	"ListTasks":                     {256 << 10, 64},
	"DescribeClusters":              {8 << 20, 16 << 10},
	"DescribeServices":              {4 << 20, 16 << 10},
	"DescribeTasks":                 {4 << 20, 64 << 10},
	"DescribeTaskDefinition":        {1 << 20, 8 << 10},
	"DescribeContainerInstances":    {8 << 20, 64 << 10},
	"DescribeTargetGroups":          {4 << 20, 32 << 10},
	"DescribeTargetGroupAttributes": {256 << 10, 1 << 10},
	"DescribeTargetHealth":          {4 << 20, 64 << 10},
	"DescribeTags":                  {4 << 20, 8 << 10},
	"RegisterTargets":               {64 << 10, 64},
	"DeregisterTargets":             {64 << 10, 64},
}

// anySize is that of an operation that is not in the table.
var anySize = size{4 << 20, 32 << 10}

func sizeOf(operation string) size {
	if s, ok := sizes[operation]; ok {
		return s
	}
	return anySize
}

const (
	// mostOfAnError is what is read of an error: AWS's are some hundred bytes.
	mostOfAnError = 64 << 10
	// mostDepth is how deep a reply may be nested: AWS's go eight deep.
	mostDepth = 32
	// mostListed is how many elements a list of a reply may have, and mostValues how
	// many values there may be to a part.
	mostListed = 10_000
	mostValues = 8
	// mostText is how long a text may be: the largest is a definition's.
	mostText = 64 << 10
	// mostTag is how long an XML tag may be: AWS's have a namespace at most.
	mostTag = 1 << 10
	// manyParts are those of a reply of which only one is taken apart at a time.
	manyParts = 8 << 10
)

// measure counts the parts of a reply, and refuses one that no SDK should be given.
// Whether it is well-formed is for the SDK to say.
func measure(text []byte, most int) (parts int, err error) {
	if bytes.HasPrefix(bytes.TrimLeft(text, " \t\r\n"), []byte("<")) {
		return measureXML(text, most)
	}
	return measureJSON(text, most)
}

func measureJSON(text []byte, most int) (parts int, err error) {
	depth, values, listed := 0, 0, 0
	for i := 0; i < len(text); i++ {
		switch text[i] {
		case '"':
			began := i
			if i = endOfString(text, i); i-began > mostText {
				return parts, errors.New("it has a text longer than AWS can have")
			}
		case '{', '[':
			parts++
			if depth++; depth > mostDepth {
				return parts, fmt.Errorf("it is nested more than %d deep", mostDepth)
			}
			if depth <= 2 {
				listed = 0
			}
		case '}', ']':
			depth--
		case ',':
			if values++; depth <= 2 {
				listed++
			}
		}
		if parts > most || listed >= mostListed || values > max(most*mostValues, 2*mostListed) {
			return parts, errors.New("it has more in it than AWS can have")
		}
	}
	return parts, nil
}

// endOfString is where a JSON string that begins at i ends.
func endOfString(text []byte, i int) int {
	for i++; i < len(text); i++ {
		n := bytes.IndexAny(text[i:], `"\`)
		if n < 0 {
			return len(text)
		}
		if i += n; text[i] == '"' {
			return i
		}
		i++ // what is escaped
	}
	return i
}

func measureXML(text []byte, most int) (parts int, err error) {
	depth := 0
	for {
		at := bytes.IndexByte(text, '<')
		if at < 0 {
			return parts, nil
		}
		if at > mostText {
			return parts, errors.New("it has a text longer than AWS can have")
		}
		text = text[at:]
		end := bytes.IndexByte(text[:min(len(text), mostTag)], '>')
		switch {
		case end < 0 && len(text) < mostTag:
			return parts, nil // it is cut off
		case end < 0:
			return parts, errors.New("it has a tag that AWS has not")
		case text[1] == '/':
			depth--
		case text[1] == '?', text[1] == '!':
		default:
			parts++
			if text[end-1] != '/' {
				depth++
			}
		}
		if depth > mostDepth {
			return parts, fmt.Errorf("it is nested more than %d deep", mostDepth)
		}
		if parts > most {
			return parts, errors.New("it has more in it than AWS can have")
		}
		text = text[end:]
	}
}
