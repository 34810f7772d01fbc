// Package lab runs the system that castoff was made for, for real and on one
// machine: a gRPC app behind nginx in every task, checked by grpc-health-probe,
// behind a balancer that passes real TCP connections of real gRPC clients. What
// AWS does by itself (the scheduler, the lags, the balancer's state machine, both
// APIs) is a simulated region's, whose [sim.Runtime] the lab is.
//
// # What is real, and what is not
//
// A task is a group of processes with an address of its own in 127.0.0.0/8, as its
// network interface: nginx with the reference workload's own configuration, in
// which only addresses, paths and the number of workers are other ones, and the
// app. Its health check is the command of its task definition, run by an agent
// that kills it after its timeout; localhost in it becomes the task's address,
// since the tasks of one machine share one network. A container has a first
// process of its own that outlives what it starts, as an entrypoint script or a
// supervisor does, so that nginx can die without its container.
//
// The balancer has a node in each zone. It ends TCP connections where a Network
// Load Balancer passes packets on, which shows in one place: a client's connection
// comes about before the target's does, so that a refused one is a reset one.
//
// A hang is SIGSTOP. Nothing of it is told to the checks, the balancer or castoff;
// the region is told for its record of the truth alone.
//
// # Time
//
// Everything happens at the speed of the clock. AWS's lags and the waits that are
// settings (deregistration delay, stopTimeout) can be shortened; checks cannot:
// neither the probe's times nor the balancer's.
//
// # Cleaning up
//
// Every process is in a group that a reaper knows of, which kills all of them when
// the lab's end of its pipe closes, however that came about. A process whose parent
// dies before the reaper has heard of it is killed by the kernel. The folder of the
// lab is the reaper's, from the first moment to the last. The lab needs Linux for
// this, and for its addresses.
package lab
