// Parca's profile store and its queries, on the HTTP paths where Parca has them. Parca's own main has a web page that its
// module does not contain.
package main

import (
	"context"
	"flag"
	"log"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/apache/arrow/go/v14/arrow/memory"
	"github.com/dgraph-io/badger/v4"
	kit "github.com/go-kit/log"
	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	profilestorepb "github.com/parca-dev/parca/gen/proto/go/parca/profilestore/v1alpha1"
	querypb "github.com/parca-dev/parca/gen/proto/go/parca/query/v1alpha1"
	"github.com/parca-dev/parca/pkg/metastore"
	"github.com/parca-dev/parca/pkg/parcacol"
	"github.com/parca-dev/parca/pkg/profile"
	"github.com/parca-dev/parca/pkg/profilestore"
	queryservice "github.com/parca-dev/parca/pkg/query"
	"github.com/polarsignals/frostdb"
	"github.com/polarsignals/frostdb/dynparquet"
	"github.com/polarsignals/frostdb/query"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/thanos-io/objstore"
	"go.opentelemetry.io/otel/trace/noop"
)

func main() {
	address := flag.String("http-address", "127.0.0.1:7070", "")
	folder := flag.String("storage-path", "", "")
	flag.Parse()
	if err := serve(*address, *folder); err != nil {
		log.Fatal(err)
	}
}

func serve(address, folder string) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	tracer := noop.NewTracerProvider().Tracer("")
	logger, registry := kit.NewNopLogger(), prometheus.NewRegistry()
	names, err := badger.Open(badger.DefaultOptions(filepath.Join(folder, "metastore")).WithLogger(nil))
	if err != nil {
		return err
	}
	defer names.Close()
	store, err := frostdb.New(frostdb.WithLogger(logger), frostdb.WithWAL(), frostdb.WithStoragePath(folder))
	if err != nil {
		return err
	}
	defer store.Close()
	database, err := store.DB(ctx, "parca")
	if err != nil {
		return err
	}
	definition := profile.SchemaDefinition()
	table, err := database.Table("stacktraces", frostdb.NewTableConfig(definition))
	if err != nil {
		return err
	}
	schema, err := dynparquet.SchemaFromDefinition(definition)
	if err != nil {
		return err
	}
	known := metastore.NewInProcessClient(metastore.NewBadgerMetastore(logger, registry, tracer, names))
	profiles := profilestore.NewProfileColumnStore(registry, logger, tracer, known, table, schema, true)
	engine := query.NewEngine(memory.DefaultAllocator, database.TableProvider())
	symbols := parcacol.NewProfileSymbolizer(tracer, known)
	queries := queryservice.NewColumnQueryAPI(
		logger, tracer, nil,
		parcacol.NewQuerier(logger, tracer, engine, "stacktraces", symbols, memory.DefaultAllocator),
		memory.DefaultAllocator,
		parcacol.NewArrowToProfileConverter(tracer, metastore.NewKeyMaker()),
		queryservice.NewBucketSourceFinder(objstore.NewInMemBucket()),
	)
	gateway := runtime.NewServeMux()
	if err := profilestorepb.RegisterProfileStoreServiceHandlerServer(ctx, gateway, profiles); err != nil {
		return err
	}
	if err := querypb.RegisterQueryServiceHandlerServer(ctx, gateway, queries); err != nil {
		return err
	}
	server := http.Server{Addr: address, Handler: http.StripPrefix("/api", gateway)}
	go func() {
		<-ctx.Done()
		_ = server.Shutdown(context.Background())
	}()
	if err := server.ListenAndServe(); err != http.ErrServerClosed {
		return err
	}
	return nil
}
