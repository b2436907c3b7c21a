// Drives a master with grpc-js, gRPC's own client for Node.js, over both of the services that take tensors.
//
//     npm install --prefix J @grpc/grpc-js@1.14.7 @grpc/proto-loader@0.8.1
//     NODE_PATH=J/node_modules .venv/bin/python -m tests.judges.run node with_grpc_js.js
//
// `make judges` does that where npm is installed.
"use strict";

const assert = require("assert");
const path = require("path");
const grpc = require("@grpc/grpc-js");
const loader = require("@grpc/proto-loader");

const PROTOS = path.join(__dirname, "..", "..", "proto");
const LARGE_BYTES = 20 << 20;
const [target] = process.argv.slice(2);

function load(file) {
  return grpc.loadPackageDefinition(loader.loadSync(path.join(PROTOS, file), { keepCase: true, longs: Number, defaults: true }));
}

const { MSService } = load("ms_service.proto").mindspore.serving.proto;
const { GRPCInferenceService } = load("open_inference.proto").inference;

function open(Service, options = {}) {
  const unlimited = { "grpc.max_receive_message_length": -1, "grpc.max_send_message_length": -1 };
  return new Service(target, grpc.credentials.createInsecure(), { ...unlimited, ...options });
}

// A call's reply, or the error that it ended with.
function outcome(client, method, request, options = {}) {
  return new Promise((resolve) => {
    client[method](request, options, (error, reply) => resolve(error || reply));
  });
}

function floats(values) {
  return Buffer.from(new Float32Array(values).buffer);
}

function predictRequest(method, items) {
  const tensors = {};
  for (const [name, [dtype, dims, data]] of Object.entries(items)) {
    tensors[name] = { dtype, shape: { dims }, data };
  }
  return { servable_spec: { name: "judged", method_name: method }, instances: [{ items: tensors }] };
}

function echoRequest(bytes) {
  return predictRequest("echo", { x: ["MS_UINT8", [bytes.length], bytes] });
}

function answer(reply) {
  assert(reply.instances, reply);
  assert.deepStrictEqual(reply.error_msg, []);
  return reply.instances[0].items.y.data;
}

function inferRequest(model, id, values, parameters = {}) {
  const inputs = [{ name: "x", datatype: "FP32", shape: [1, values.length] }];
  return { model_name: model, id, inputs, parameters, raw_input_contents: [floats(values)] };
}

async function predicts() {
  const client = open(MSService);
  const ones = ["MS_FLOAT32", [2, 2], floats([1, 1, 1, 1])];
  assert(answer(await outcome(client, "Predict", predictRequest("add", { x1: ones, x2: ones }))).equals(floats([2, 2, 2, 2])));

  const bodies = [...Array(300).keys()].map((number) => Buffer.from(`call ${number}`));
  const replies = await Promise.all(bodies.map((body) => outcome(client, "Predict", echoRequest(body))));
  replies.forEach((reply, number) => assert(answer(reply).equals(bodies[number])));

  const large = Buffer.alloc(LARGE_BYTES, "0123456789");
  assert(answer(await outcome(client, "Predict", echoRequest(large))).equals(large));
  const zipped = open(MSService, { "grpc.default_compression_algorithm": grpc.compressionAlgorithms.gzip });
  assert(answer(await outcome(zipped, "Predict", echoRequest(large))).equals(large));
  client.close();
  zipped.close();
}

async function endsEarly() {
  const client = open(GRPCInferenceService);
  const hurried = await outcome(client, "ModelInfer", inferRequest("judged.wait", "late", [5]), { deadline: Date.now() + 300 });
  assert.strictEqual(hurried.code, grpc.status.DEADLINE_EXCEEDED);

  const cancelled = await new Promise((resolve) => {
    const call = client.ModelInfer(inferRequest("judged.wait", "gone", [5]), (error) => resolve(error));
    setTimeout(() => call.cancel(), 100);
  });
  assert.strictEqual(cancelled.code, grpc.status.CANCELLED);

  const unknown = await outcome(client, "ModelInfer", inferRequest("größer 100 %", "u", [1]));
  assert.strictEqual(unknown.code, grpc.status.NOT_FOUND);
  assert(unknown.details.includes("größer 100 %"), unknown.details);

  const Other = grpc.makeGenericClientConstructor({
    Call: { path: "/judged.Nobody/Call", requestSerialize: (x) => x, responseDeserialize: (x) => x },
  });
  assert.strictEqual((await outcome(open(Other), "Call", Buffer.from("x"))).code, grpc.status.UNIMPLEMENTED);

  // A ping in the middle of the call. grpcio's server, the other engine, ends who pings it more often than every 5 s.
  const pinging = open(GRPCInferenceService, { "grpc.keepalive_time_ms": 5500 });
  const patient = await outcome(pinging, "ModelInfer", inferRequest("judged.wait", "kept", [6]));
  assert.strictEqual(patient.id, "kept", String(patient));
  client.close();
  pinging.close();
}

function streams() {
  const client = open(GRPCInferenceService);
  const wanted = new Set([...Array(200).keys()].map(String));
  return new Promise((resolve, reject) => {
    const call = client.ModelStreamInfer();
    call.on("data", (reply) => {
      const { id, raw_output_contents: outputs } = reply.infer_response;
      assert.strictEqual(reply.error_message, "");
      assert(outputs[0].equals(floats([Number(id), 1])));
      assert(wanted.delete(id), `${id} came twice`);
    });
    call.on("error", reject);
    call.on("end", () => {
      assert.strictEqual(wanted.size, 0);
      client.close();
      resolve();
    });
    for (const id of wanted) call.write(inferRequest("judged.echo", id, [Number(id), 1]));
    call.end();
  });
}

async function main() {
  await predicts();
  await streams();
  await endsEarly();
  console.log("grpc-js: all good");
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
