package journal

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"strconv"
	"strings"
	"time"

	"github.com/castoff-ecs/castoff/controller/policy"
	"github.com/castoff-ecs/castoff/controller/timeline"
)

// The buckets of schema 1, and in parentheses what the keys are.
const (
	about            = "about"       // this file (schema, castoff)
	tracker          = "tracker"     // what of timeline.State is not in the next three (frame)
	failures         = "failures"    // timeline.FailureState (task)
	tasks            = "tasks"       // fleet.Task, without when it was read (task)
	groups           = "groups"      // fleet.TargetGroup, without when it was read (ARN)
	guards           = "guards"      // policy.State (state)
	openDetachments  = "detachments" // policy.Detachment (when decided, target, task, mode)
	endedDetachments = "ended"       // policy.Detachment (when ended, and the same)
	closedTimelines  = "closed"      // timeline.Timeline (when closed, ID)
)

var bucketNames = []string{about, tracker, failures, tasks, groups, guards, openDetachments, endedDetachments, closedTimelines}

// seal encodes a value with a checksum over its place and its bytes: bbolt
// would not notice a record that has changed, or is another's.
func seal(bucket, key string, value any) ([]byte, error) {
	data, err := json.Marshal(value)
	if err != nil {
		return nil, fmt.Errorf("journal: encoding %s of %s: %w", printable(key), bucket, err)
	}
	sealed := make([]byte, checksumSize, checksumSize+len(data))
	binary.BigEndian.PutUint32(sealed, checksum(bucket, key, data))
	return append(sealed, data...), nil
}

// unseal decodes a record.
func unseal[T any](bucket string, key, sealed []byte) (value T, err error) {
	data, err := payload(bucket, key, sealed)
	if err == nil {
		err = json.Unmarshal(data, &value)
	}
	if err != nil {
		return value, &recordError{bucket: bucket, key: string(key), err: err}
	}
	return value, nil
}

// payload is what a record holds, once its checksum has been seen to be right.
func payload(bucket string, key, sealed []byte) ([]byte, error) {
	if len(sealed) < checksumSize {
		return nil, fmt.Errorf("%d bytes are no record", len(sealed))
	}
	data := sealed[checksumSize:]
	if binary.BigEndian.Uint32(sealed) != checksum(bucket, string(key), data) {
		return nil, errors.New("its checksum is wrong")
	}
	return data, nil
}

const checksumSize = 4

func checksum(bucket, key string, data []byte) uint32 {
	table := crc32.MakeTable(crc32.Castagnoli)
	sum := crc32.Update(0, table, []byte(bucket+"\x00"+key+"\x00"))
	return crc32.Update(sum, table, data)
}

// recordError is a record that does not say what it was meant to.
type recordError struct {
	bucket, key string
	err         error
}

func (e *recordError) Error() string {
	return fmt.Sprintf("record %s of %s: %v", printable(e.key), e.bucket, e.err)
}

func (e *recordError) Unwrap() error { return e.err }

// printable is a key for people.
func printable(key string) string { return strconv.Quote(key) }

// instant is the head of a key that sorts by time, years before 1970 included.
func instant(t time.Time) string {
	head := binary.BigEndian.AppendUint64(nil, uint64(t.Unix())^1<<63)
	return string(binary.BigEndian.AppendUint32(head, uint32(t.Nanosecond())))
}

// identity tells a detachment from all others, and never changes. A target
// that is taken out again after its task was well is decided anew.
func identity(d *policy.Detachment) string {
	return instant(d.Decided) + strings.Join([]string{
		string(d.Target.Group), d.Target.ID, strconv.Itoa(d.Target.Port), string(d.Task), string(d.Mode),
	}, "\x00")
}

// endedKey is where a detachment is kept once it is closed.
func endedKey(d *policy.Detachment) string { return instant(d.Ended) + identity(d) }

// closedKey is where a closed timeline is kept.
func closedKey(t *timeline.Timeline) string { return instant(t.Closed) + string(t.ID) }
