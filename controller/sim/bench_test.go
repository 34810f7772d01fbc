package sim_test

import (
	"fmt"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecs"

	"github.com/castoff-ecs/castoff/controller/sim"
)

// settled builds 500 services of 20 tasks, with a target group each.
func settled(b *testing.B) *sim.Region {
	b.Helper()
	r := sim.New(sim.Options{Seed: 1})
	if err := r.AddCluster(clusterName, sim.ClusterOptions{}); err != nil {
		b.Fatal(err)
	}
	for i := range 500 {
		spec := sim.ReferenceWorkload(clusterName, fmt.Sprintf("s%03d", i))
		spec.Desired = 20
		if err := r.AddService(spec); err != nil {
			b.Fatal(err)
		}
	}
	return r
}

// BenchmarkSettle is the building of a calm fleet of 10,000 tasks.
func BenchmarkSettle(b *testing.B) {
	for b.Loop() {
		settled(b)
	}
}

// BenchmarkDescribeTasks is one full batch of 100 tasks, the SDK's decoding
// included.
func BenchmarkDescribeTasks(b *testing.B) {
	r := settled(b)
	client := ecs.NewFromConfig(config(sim.Doer{Region: r}, "http://sim.invalid"))
	list, err := client.ListTasks(b.Context(), &ecs.ListTasksInput{Cluster: aws.String(clusterName)})
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := client.DescribeTasks(b.Context(), &ecs.DescribeTasksInput{Cluster: aws.String(clusterName), Tasks: list.TaskArns}); err != nil {
			b.Fatal(err)
		}
	}
}
