// Package timeline turns snapshots into timelines: the record of every task
// that fails, from the onset of the failure to the task's retirement.
package timeline
