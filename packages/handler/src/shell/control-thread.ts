import { parentPort, workerData } from "node:worker_threads";
import { addRequest, type ControlBatch, readResponses } from "../core/control-batch.ts";
import type { ControlRequest, ControlResponse } from "../core/control-exchange.ts";
import type { ThreadData, ThreadNews, ThreadOrder } from "./control-port.ts";
import { ControlServer } from "./control-server.ts";

// Runs in a thread of its own (`control-port.ts`): connections and HTTP are here, what is decided is not.

const owner = parentPort;
if (owner === null) throw new Error("not a thread");
const { fd, limits } = workerData as ThreadData;
const waiting = new Map<number, (response: ControlResponse) => void>();
let lastNumber = 0;
let batch: ControlBatch = [];

const tell = (news: ThreadNews) => owner.postMessage(news);

/** What all connections have sent in this turn goes as one message. */
const flush = () => {
  const full = batch;
  batch = [];
  tell(full);
};

const answer = (request: ControlRequest) => ({
  later: (respond: (response: ControlResponse) => void) => {
    lastNumber += 1;
    waiting.set(lastNumber, respond);
    if (batch.length === 0) setImmediate(flush);
    addRequest(batch, lastNumber, request);
  },
});

const server = await ControlServer.open({
  listen: { fd },
  limits,
  answer,
  log: {
    info: () => {},
    warn: (text, fields) => tell({ type: "warn", text: `${text}: ${String(fields?.["error"])}` }),
  },
});

owner.on("message", (order: ThreadOrder) => {
  if (order === "leave") {
    void server.leave().then(() => tell({ type: "left" }));
    return;
  }
  readResponses(order, (number, response) => {
    const respond = waiting.get(number);
    waiting.delete(number);
    respond?.(response);
  });
});
