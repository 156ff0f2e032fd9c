// Runs SQL over a trace with Perfetto's trace processor, which the Perfetto UI ships as a web worker.
//
// node trace_processor.js FOLDER-OF-THE-UI TRACE SQL...
// Prints a JSON array: the rows of each query, objects by column name.
'use strict';
const fs = require('fs');
const path = require('path');
const vm = require('vm');
const { webcrypto } = require('crypto');

const [folder, trace, ...queries] = process.argv.slice(2);

// The worker's glue refuses Node by its `process`, and reads its module with a synchronous request.
class XMLHttpRequest {
  open(_, url) {
    this.response = new Uint8Array(fs.readFileSync(path.join(folder, path.basename(url))));
  }
  send() {}
}
const self = { location: { href: 'https://worker/engine_bundle.js' } };
const context = vm.createContext({
  self, XMLHttpRequest, WorkerGlobalScope() {}, console: { log() {}, warn() {}, error: console.error },
  setTimeout, TextDecoder, TextEncoder, URL, performance, crypto: webcrypto,
});
vm.runInContext(fs.readFileSync(path.join(folder, 'engine_bundle.js'), 'utf8'), context);

// perfetto/trace_processor/trace_processor.proto: TraceProcessorRpcStream, TraceProcessorRpc, QueryArgs, QueryResult.
const METHOD = { append: 1, finalize: 2, query: 3 };

function varint(value) {
  const bytes = [];
  for (; value > 127; value = Math.floor(value / 128)) bytes.push((value % 128) | 128);
  bytes.push(value);
  return Buffer.from(bytes);
}
const number = (tag, value) => Buffer.concat([varint(tag * 8), varint(value)]);
const bytes = (tag, value) => Buffer.concat([varint(tag * 8 + 2), varint(value.length), value]);

function* fields(message) {
  for (let at = 0; at < message.length;) {
    const read = () => {
      let value = 0n;
      for (let shift = 0n; ; shift += 7n) {
        const byte = message[at++];
        value |= BigInt(byte & 127) << shift;
        if (byte < 128) return BigInt.asIntN(64, value);
      }
    };
    const key = Number(read());
    switch (key & 7) {
      case 0: yield [key >> 3, read()]; break;
      case 1: yield [key >> 3, message.subarray(at, at += 8)]; break;
      case 2: { const length = Number(read()); yield [key >> 3, message.subarray(at, at += length)]; break; }
      case 5: yield [key >> 3, message.subarray(at, at += 4)]; break;
      default: throw new Error(`wire type ${key & 7}`);
    }
  }
}

function* varints(packed) {
  let value = 0n, shift = 0n;
  for (const byte of packed) {
    value |= BigInt(byte & 127) << shift;
    shift += 7n;
    if (byte < 128) { yield BigInt.asIntN(64, value); value = 0n; shift = 0n; }
  }
}

function* doubles(packed) {
  for (let at = 0; at < packed.length; at += 8) yield Buffer.from(packed).readDoubleLE(at);
}

// CellsBatch.CellType.
const CELL = { null: 1, varint: 2, float64: 3, string: 4 };

let columns = [], rows = [], row = {}, column = 0;
const results = [];
function batch(message) {
  let cells = [], numbers = [], floats = [], strings = [], last = false;
  for (const [tag, content] of fields(message)) {
    if (tag === 1) cells = varints(content);
    else if (tag === 2) numbers = varints(content);
    else if (tag === 3) floats = doubles(content);
    else if (tag === 5) strings = Buffer.from(content).toString().split('\0').values();
    else if (tag === 6) last = content !== 0n;
  }
  for (const cell of cells) {
    switch (Number(cell)) {
      case CELL.null: row[columns[column]] = null; break;
      case CELL.varint: row[columns[column]] = Number(numbers.next().value); break;
      case CELL.float64: row[columns[column]] = floats.next().value; break;
      case CELL.string: row[columns[column]] = strings.next().value; break;
      default: throw new Error(`cell of type ${cell}`);
    }
    if (++column === columns.length) { rows.push(row); row = {}; column = 0; }
  }
  if (last) { results.push(rows); columns = []; rows = []; }
}

function reply(message) {
  for (const [, rpc] of fields(message)) {
    for (const [tag, value] of fields(rpc)) {
      if (tag === 5) throw new Error(Buffer.from(value).toString());
      if (tag === 201 || tag === 203) for (const [field, content] of fields(value)) {
        if (field === 2) throw new Error(Buffer.from(content).toString());
        if (tag === 203 && field === 1) columns.push(Buffer.from(content).toString());
        if (tag === 203 && field === 3) batch(content);
      }
    }
  }
}

const { Uint8Array: WorkerBytes } = vm.runInContext('({ Uint8Array })', context);
let sequence = 0;
const port = { postMessage: reply };
self.onmessage({ data: port });
function request(method, argument = Buffer.alloc(0)) {
  port.onmessage({ data: new WorkerBytes(bytes(1, Buffer.concat([number(1, ++sequence), number(2, METHOD[method]), argument]))) });
}
setImmediate(() => {
  try {
    request('append', bytes(101, fs.readFileSync(trace)));
    request('finalize');
    for (const sql of queries) request('query', bytes(103, bytes(1, Buffer.from(sql))));
    console.log(JSON.stringify(results));
    process.exit(0);
  } catch (error) {
    console.error(error);
    process.exit(1);
  }
});
