// Command kafka makes messages for a broker that is not there, through librdkafka's own mock of a cluster, and reads them
// back. It prints how many calls of C it made as JSON.
package main

import (
	"encoding/json"
	"os"
	"runtime"

	"github.com/confluentinc/confluent-kafka-go/v2/kafka"
)

func main() {
	cluster, err := kafka.NewMockCluster(1)
	must(err)
	servers := cluster.BootstrapServers()
	producer, err := kafka.NewProducer(&kafka.ConfigMap{"bootstrap.servers": servers})
	must(err)
	topic := "rows"
	const messages = 5000
	delivered := make(chan kafka.Event, messages)
	for i := 0; i < messages; i++ {
		must(producer.Produce(&kafka.Message{
			TopicPartition: kafka.TopicPartition{Topic: &topic, Partition: 0},
			Value:          []byte("a message of some length, to be counted"),
		}, delivered))
	}
	failed := 0
	for i := 0; i < messages; i++ {
		if (<-delivered).(*kafka.Message).TopicPartition.Error != nil {
			failed++
		}
	}
	producer.Close()
	cluster.Close()
	must(json.NewEncoder(os.Stdout).Encode(map[string]any{
		"messages": messages, "failed": failed, "num_cgo_call": runtime.NumCgoCall(),
	}))
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}
