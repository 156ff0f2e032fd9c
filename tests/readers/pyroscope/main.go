// Grafana Pyroscope with all its parts in one process, as its own main starts it. The parts that push and report about
// themselves are off by the flags that tests give.
package main

import (
	"flag"
	"log"
	"os"

	"github.com/grafana/dskit/flagext"
	"github.com/grafana/pyroscope/pkg/cfg"
	"github.com/grafana/pyroscope/pkg/phlare"
)

type settings struct {
	phlare.Config `yaml:",inline"`
}

func (s *settings) Clone() flagext.Registerer {
	return func(s settings) *settings { return &s }(*s)
}

func (s *settings) RegisterFlags(flags *flag.FlagSet) { s.Config.RegisterFlags(flags) }

func (s *settings) PhlareConfig() *phlare.Config { return &s.Config }

func main() {
	var s settings
	if err := cfg.DynamicUnmarshal(&s, os.Args[1:], flag.CommandLine); err != nil {
		log.Fatal(err)
	}
	server, err := phlare.New(s.Config)
	if err != nil {
		log.Fatal(err)
	}
	if err := server.Run(); err != nil {
		log.Fatal(err)
	}
}
