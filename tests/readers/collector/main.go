// The OpenTelemetry Collector with its OTLP receiver, and an exporter that prints what tests ask for: a line of JSON for
// each profile, and one for each mapping.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/confmap"
	"go.opentelemetry.io/collector/confmap/provider/fileprovider"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/exporter"
	"go.opentelemetry.io/collector/exporter/xexporter"
	"go.opentelemetry.io/collector/otelcol"
	"go.opentelemetry.io/collector/pdata/pprofile"
	"go.opentelemetry.io/collector/receiver"
	"go.opentelemetry.io/collector/receiver/otlpreceiver"
	"go.opentelemetry.io/collector/service/telemetry/otelconftelemetry"
)

// printer is the exporter.
type printer struct {
	component.StartFunc
	component.ShutdownFunc
}

func (printer) Capabilities() consumer.Capabilities { return consumer.Capabilities{} }

func (printer) ConsumeProfiles(_ context.Context, all pprofile.Profiles) error {
	dictionary := all.Dictionary()
	text := dictionary.StringTable()
	for _, mapping := range dictionary.MappingTable().All() {
		printed := map[string]any{"file": text.At(int(mapping.FilenameStrindex()))}
		for _, index := range mapping.AttributeIndices().All() {
			attribute := dictionary.AttributeTable().At(int(index))
			printed[text.At(int(attribute.KeyStrindex()))] = attribute.Value().AsString()
		}
		print(printed)
	}
	for _, resource := range all.ResourceProfiles().All() {
		service, _ := resource.Resource().Attributes().Get("service.name")
		for _, scope := range resource.ScopeProfiles().All() {
			for _, profile := range scope.Profiles().All() {
				print(sums(profile, dictionary, service.AsString()))
			}
		}
	}
	print(map[string]any{"end": true})
	return nil
}

// sums returns the sum of a profile's values, and those by the innermost function.
func sums(profile pprofile.Profile, dictionary pprofile.ProfilesDictionary, service string) map[string]any {
	text := dictionary.StringTable()
	sum, functions := int64(0), map[string]int64{}
	for _, sample := range profile.Samples().All() {
		stack := dictionary.StackTable().At(int(sample.StackIndex()))
		innermost := dictionary.LocationTable().At(int(stack.LocationIndices().At(0))).Lines().At(0)
		function := dictionary.FunctionTable().At(int(innermost.FunctionIndex()))
		for _, value := range sample.Values().All() {
			sum += value
			functions[text.At(int(function.NameStrindex()))] += value
		}
	}
	return map[string]any{
		"service": service, "type": text.At(int(profile.SampleType().TypeStrindex())), "sum": sum, "functions": functions,
		"unit": text.At(int(profile.SampleType().UnitStrindex())), "duration": profile.DurationNano(),
	}
}

func print(value any) {
	line, err := json.Marshal(value)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(string(line))
}

func factories() (otelcol.Factories, error) {
	receivers, err := otelcol.MakeFactoryMap[receiver.Factory](otlpreceiver.NewFactory())
	if err != nil {
		return otelcol.Factories{}, err
	}
	create := func(context.Context, exporter.Settings, component.Config) (xexporter.Profiles, error) { return printer{}, nil }
	prints := xexporter.NewFactory(component.MustNewType("print"), func() component.Config { return &struct{}{} },
		xexporter.WithProfiles(create, component.StabilityLevelDevelopment))
	exporters, err := otelcol.MakeFactoryMap[exporter.Factory](prints)
	return otelcol.Factories{Receivers: receivers, Exporters: exporters, Telemetry: otelconftelemetry.NewFactory()}, err
}

func main() {
	files := confmap.ResolverSettings{
		DefaultScheme: "file", ProviderFactories: []confmap.ProviderFactory{fileprovider.NewFactory()},
	}
	settings := otelcol.CollectorSettings{
		BuildInfo:              component.BuildInfo{Command: "collector", Version: "0.162.0"},
		Factories:              factories,
		ConfigProviderSettings: otelcol.ConfigProviderSettings{ResolverSettings: files},
	}
	if err := otelcol.NewCommand(settings).Execute(); err != nil {
		log.Fatal(err)
	}
}
