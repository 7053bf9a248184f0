import { type Installation, HttpStream, RawClient, SocketClient, until } from "@pushpin/testkit";
import type { GatedBackend } from "./gated-backend.ts";

/**
 * What becomes of a client:
 * - `goes on`: neither it nor the backend notices
 * - `asked again`: it notices nothing, but the backend gets the request once more
 * - `502`: an answer that says so
 * - `1012`: its WebSocket is closed, with this code
 * - `cut`: its connection ends
 */
export type Outcome = "goes on" | "asked again" | "502" | "1012" | "cut";

/** A client in the middle of something. */
export interface Live {
  /** What begins in the moment of the death. */
  readonly start?: () => void;
  /** What ends while processes are replaced on purpose; otherwise that waits for it. */
  readonly finish?: () => void;
  /** Looks what has become of it, once the dead process has a successor. Throws on what may never be. */
  readonly look: () => Promise<Outcome>;
}

export interface Stage {
  readonly installation: Installation;
  readonly backend: GatedBackend;
}

/** Brings a client of its kind to where it has to be; `name` is nobody else's. */
export type Kind = (stage: Stage, name: string) => Promise<Live>;

const item = (channel: string, content: string, more: object = {}) => ({
  channel,
  formats: {
    "http-stream": { content },
    "http-response": { body: content },
    "ws-message": { content },
  },
  ...more,
});

const isSubscribed = ({ installation }: Stage, name: string) =>
  installation.runner.said(new RegExp(`subscribe .*channel=${name}$`, "m"));

// Requests

interface Answer {
  readonly status: number;
  readonly text: string;
}

/** Resolves with status 0 where the connection ends first. */
async function answerOf(request: Promise<HttpStream>): Promise<Answer> {
  try {
    const { status, text, end } = await request;
    return { status: end === "complete" ? status : 0, text };
  } catch {
    return { status: 0, text: "" };
  }
}

function outcomeOf({ status, text }: Answer, expected: string, asked: number): Outcome {
  if (status === 0) return "cut";
  if (status === 502) return "502";
  if (text.startsWith("c[1012,")) return "1012"; // as SockJS says it
  if (status !== 200 || text !== expected) throw new Error(`got ${status} ${text}`);
  return asked === 1 ? "goes on" : "asked again";
}

const waiting =
  (method: string, body?: string): Kind =>
  async ({ installation, backend }, name) => {
    const spec = body === undefined ? { method } : { method, body };
    const answer = answerOf(HttpStream.whole(`${installation.url}/wait/${name}`, spec));
    await until(`${name} to wait`, () => backend.isWaiting(name));
    return {
      look: async () => {
        backend.release(name);
        return outcomeOf(await answer, `${method} ${body ?? ""}`, backend.count(`/wait/${name}`));
      },
    };
  };

/** More than a proxy reads before it asks a backend. */
const HALF = "x".repeat(20_000);

/** Its body is half there when the process dies. */
const uploading =
  (method: string, first: string): Kind =>
  async ({ installation, backend }, name) => {
    const client = await RawClient.open(installation.port);
    const path = `/wait/${name}`;
    const length = first.length + 5;
    client.send(`${method} ${path} HTTP/1.1\r\nHost: a\r\nContent-Length: ${length}\r\n\r\n${first}`);
    if (first === HALF) await until(`${name} to begin`, () => backend.count(path) > 0);
    let isSent = false;
    const finish = () => {
      if (!isSent) client.send("other");
      isSent = true;
    };
    return {
      finish,
      look: async () => {
        backend.release(name);
        finish();
        try {
          const { status, body } = await client.response(method);
          return outcomeOf({ status, text: body }, `${method} ${first}other`, backend.count(path));
        } catch (error) {
          if (client.isEnded) return "cut";
          throw error;
        } finally {
          client.close();
        }
      },
    };
  };

const begun: Kind = async ({ installation, backend }, name) => {
  const stream = await HttpStream.open(`${installation.url}/begun/${name}`);
  await stream.received("begun;");
  return {
    look: async () => {
      backend.release(name);
      const end = await stream.finished();
      if (end !== "complete") return "cut";
      return outcomeOf(stream, "begun;ended", backend.count(`/begun/${name}`));
    },
  };
};

/** Asked in the moment of the death, by many: some get their hold just then. */
const arriving: Kind = async (stage, name) => {
  const { installation } = stage;
  let asked: Promise<HttpStream | undefined>[] = [];
  return {
    start: () => {
      asked = Array.from({ length: 20 }, () =>
        HttpStream.open(holdUrl(stage, name, streamHold(name))).catch(() => undefined),
      );
    },
    look: async () => {
      const streams = await Promise.all(asked);
      const alive: HttpStream[] = [];
      for (const stream of streams) {
        if (stream === undefined) return "cut";
        await until("its first bytes", () => stream.text.includes("[open]") || stream.end !== undefined);
        if (stream.status !== 200 || stream.end !== undefined) return stream.status === 502 ? "502" : "cut";
        alive.push(stream);
      }
      await installation.publish(item(name, "after"));
      for (const stream of alive) expectOnce(await firstOf(stream, "after"), "after");
      for (const stream of alive) stream.close();
      return "goes on";
    },
  };
};

// Holds

const holdUrl = ({ installation }: Stage, name: string, headers: Record<string, string>) =>
  `${installation.url}/hold/${name}?${new URLSearchParams(headers)}`;
const streamHold = (channel: string) => ({ "Grip-Hold": "stream", "Grip-Channel": channel });

/** The stream's text once it has `content`, or what it had when it ended. */
async function firstOf(stream: HttpStream, content: string): Promise<string> {
  await until(`"${content}" in "${stream.text}"`, () => stream.text.includes(content) || stream.end !== undefined);
  return stream.text;
}

function expectOnce(text: string, content: string): void {
  if (text.split(content).length !== 2) throw new Error(`"${content}" not once in "${text}"`);
}

async function openStream(stage: Stage, name: string, headers: Record<string, string>): Promise<HttpStream> {
  const stream = await HttpStream.open(holdUrl(stage, name, headers));
  await stream.received("[open]");
  await isSubscribed(stage, name);
  return stream;
}

/** Whether the stream still gets what is published: once, after what it had, and nothing else. */
async function lookAtStream(
  { installation, backend }: Stage,
  name: string,
  stream: HttpStream,
  more: object = {},
): Promise<Outcome> {
  await installation.publish(item(name, "after;", more));
  if (stream.end === undefined) expectOnce(await firstOf(stream, "after;"), "after;");
  if (stream.end !== undefined) return "cut";
  return backend.count(`/hold/${name}`) === 1 ? "goes on" : "asked again";
}

const plainStream: Kind = async (stage, name) => {
  const stream = await openStream(stage, name, streamHold(name));
  await stage.installation.publish(item(name, "before;"));
  await stream.received("before;");
  return {
    look: async () => {
      const outcome = await lookAtStream(stage, name, stream);
      if (outcome === "goes on") expectText(stream.text, "[open]before;after;");
      stream.close();
      return outcome;
    },
  };
};

function expectText(text: string, expected: string): void {
  if (text !== expected) throw new Error(`got "${text}"`);
}

const goneLink: Kind = async (stage, name) => {
  const stream = await openStream(stage, name, {
    ...streamHold(name),
    "Grip-Link": `</gone/${name}>; rel=gone`,
  });
  return {
    look: async () => {
      const outcome = await lookAtStream(stage, name, stream);
      stream.close();
      if (outcome === "goes on")
        await until("the gone link to be asked", () => stage.backend.count(`/gone/${name}`) === 1);
      return outcome;
    },
  };
};

/** The link is being asked when the process dies. */
const nextLink: Kind = async (stage, name) => {
  const { backend } = stage;
  const stream = await HttpStream.open(
    holdUrl(stage, name, { "Grip-Link": `</wait/${name}>; rel=next` }),
  );
  await until("the link to be asked", () => backend.isWaiting(name));
  return {
    look: async () => {
      backend.release(name);
      if ((await stream.finished(30_000)) !== "complete") return "cut";
      return outcomeOf(stream, "[open]GET ", backend.count(`/wait/${name}`));
    },
  };
};

const keptAlive: Kind = async (stage, name) => {
  const stream = await openStream(stage, name, {
    ...streamHold(name),
    "Grip-Keep-Alive": "<alive>; timeout=1; mode=interval",
  });
  await stream.received("<alive>");
  return {
    look: async () => {
      const outcome = await lookAtStream(stage, name, stream);
      const at = stream.text.length;
      if (outcome === "goes on")
        await until("another keep-alive", () => stream.text.includes("<alive>", at));
      stream.close();
      return outcome;
    },
  };
};

const filtered: Kind = async (stage, name) => {
  const stream = await openStream(stage, name, {
    "Grip-Hold": "stream",
    "Grip-Channel": `${name}; filter=skip-users; filter=var-subst`,
    "Grip-Set-Meta": "user=bob",
  });
  return {
    look: async () => {
      await stage.installation.publish(item(name, "not for bob", { meta: { skip_users: "al, bob" } }));
      await stage.installation.publish(item(name, "%(user)s;"));
      const outcome = await lookAtStream(stage, name, stream);
      if (outcome === "goes on") expectText(stream.text, "[open]bob;after;");
      stream.close();
      return outcome;
    },
  };
};

const numbered: Kind = async (stage, name) => {
  const stream = await openStream(stage, name, {
    "Grip-Hold": "stream",
    "Grip-Channel": `${name}; prev-id=1`,
    "Grip-Link": `</recover/${name}>; rel=next`,
  });
  const publish = (id: number) =>
    stage.installation.publish(item(name, `${id};`, { id: `${id}`, "prev-id": `${id - 1}` }));
  await publish(2);
  await stream.received("2;");
  return {
    look: async () => {
      await publish(3);
      const outcome = await lookAtStream(stage, name, stream, { id: "4", "prev-id": "3" });
      if (outcome === "goes on") {
        expectText(stream.text, "[open]2;3;after;");
      }
      stream.close();
      return outcome;
    },
  };
};

const longPoll: Kind = async (stage, name) => {
  const url = holdUrl(stage, name, { "Grip-Hold": "response", "Grip-Channel": name });
  const answer = answerOf(HttpStream.whole(url));
  await isSubscribed(stage, name);
  return {
    look: async () => {
      await stage.installation.publish(item(name, "after"));
      return outcomeOf(await answer, "after", stage.backend.count(`/hold/${name}`));
    },
  };
};

const timingOut: Kind = async (stage, name) => {
  const headers = { "Grip-Hold": "response", "Grip-Channel": name, "Grip-Timeout": "5" };
  const answer = answerOf(HttpStream.whole(holdUrl(stage, name, headers)));
  await isSubscribed(stage, name);
  return {
    look: async () => outcomeOf(await answer, "[open]", stage.backend.count(`/hold/${name}`)),
  };
};

/** It was held for a moment, had missed something, and is asked again when the process dies. */
const retried: Kind = async (stage, name) => {
  const { installation, backend } = stage;
  const other = await openStream(stage, name, streamHold(name));
  await installation.publish(item(name, "2;", { id: "2", "prev-id": "1" }));
  await other.received("2;");
  const answer = answerOf(HttpStream.whole(`${installation.url}/retry/${name}`));
  await until("the poll to be asked again", () => backend.isWaiting(name));
  return {
    look: async () => {
      backend.release(name);
      const outcome = outcomeOf(await answer, "GET ", backend.count(`/retry/${name}`) - 1);
      other.close();
      return outcome;
    },
  };
};

// WebSockets

interface Expected {
  /** What it has to have got, in this order; WebSockets over HTTP may get an echo again. */
  readonly echoes?: readonly string[];
}

async function openSocket(stage: Stage, path: string): Promise<SocketClient> {
  return SocketClient.open(`${stage.installation.url.replace("http", "ws")}${path}`);
}

async function openOverHttp(stage: Stage, name: string, ...controls: object[]): Promise<SocketClient> {
  const query = new URLSearchParams(controls.map((one) => ["control", JSON.stringify(one)]));
  const socket = await openSocket(stage, `/woh/${name}?${query}`);
  await isSubscribed(stage, name);
  // Several share a channel, and others may have been subscribed first.
  await until("something published", async () => {
    await stage.installation.publish(item(name, "before"));
    return socket.messages.includes("before");
  });
  return socket;
}

function closedOutcome({ closed }: SocketClient): Outcome | undefined {
  if (closed === undefined) return undefined;
  if (closed.code === 1012) return "1012";
  if (closed.code === 1006) return "cut";
  throw new Error(`closed with ${closed.code} ${closed.reason}`);
}

/** Whether the socket still answers, and gets what is published where it has subscribed. */
async function lookAtSocket(
  { installation }: Stage,
  channel: string | undefined,
  socket: SocketClient,
  { echoes = [] }: Expected = {},
): Promise<Outcome> {
  const saw = (message: string) =>
    until(`${message} in ${socket.messages.join()}`, () => socket.messages.includes(message) || socket.closed !== undefined);
  if (socket.closed === undefined) socket.send("echo after");
  if (channel !== undefined) {
    await installation.publish(item(channel, "after"));
    await saw("after");
  }
  await saw("echo after");
  const outcome = closedOutcome(socket);
  if (outcome !== undefined) return outcome;
  const texts = socket.messages.map(String);
  if (channel !== undefined) expectOnce(texts.join("\n").replaceAll("echo after", ""), "after");
  const others = [...new Set(texts.filter((one) => one !== "before" && one !== "after"))];
  expectText(others.join(), [...echoes, "echo after"].join());
  socket.socket.terminate();
  return "goes on";
}

const idleOverHttp: Kind = async (stage, name) => {
  const socket = await openOverHttp(stage, name);
  return { look: () => lookAtSocket(stage, name, socket) };
};

const inFlight =
  (...queued: string[]): Kind =>
  async (stage, name) => {
    const { backend } = stage;
    const socket = await openOverHttp(stage, name);
    socket.send("gate");
    await until("the message to wait", () => backend.isWaiting(name));
    const asked = backend.count(`/woh/${name}`);
    for (const message of queued) socket.send(message);
    return {
      look: async () => {
        if (socket.closed === undefined)
          await until("what was asked before", () => asked <= backend.count(`/woh/${name}`));
        backend.release(name);
        const outcome = await lookAtSocket(stage, name, socket, { echoes: ["gate", ...queued] });
        const repeats = socket.messages.filter((one) => one === "gate").length;
        if (repeats > 1) throw new Error("the same answer came twice");
        return outcome;
      },
    };
  };

const closing: Kind = async (stage, name) => {
  const { backend } = stage;
  const socket = await openOverHttp(stage, name);
  socket.socket.close(4001, "bye");
  await until("the close to wait", () => backend.isWaiting(name));
  return {
    look: async () => {
      backend.release(name);
      const closed = await socket.end();
      if (closed.code !== 4001) return closedOutcome(socket) as Outcome;
      expectText(closed.reason, "bye");
      return "goes on";
    },
  };
};

const detached: Kind = async (stage, name) => {
  const socket = await openOverHttp(stage, name, { type: "detach" });
  return {
    look: async () => {
      const { installation, backend } = stage;
      if (socket.closed === undefined) socket.send("to nobody");
      await installation.publish(item(name, "after"));
      await until("after", () => socket.messages.includes("after") || socket.closed !== undefined);
      const outcome = closedOutcome(socket);
      if (outcome !== undefined) return outcome;
      expectText([...new Set(socket.messages)].join(), "before,after");
      if (backend.hasGot(`/woh/${name}`, "to nobody")) throw new Error("the backend heard of it");
      socket.socket.terminate();
      return "goes on";
    },
  };
};

const delayed: Kind = async (stage, name) => {
  const socket = await openOverHttp(stage, name, { type: "send-delayed", content: "late", timeout: 4 });
  return {
    look: async () => {
      await until("the late message", () => socket.messages.includes("late") || socket.closed !== undefined);
      return lookAtSocket(stage, name, socket, { echoes: ["late"] });
    },
  };
};

const keptAliveOverHttp: Kind = async (stage, name) => {
  const keepAlive = { type: "keep-alive", content: "alive", timeout: 1, mode: "interval" };
  const socket = await openOverHttp(stage, name, keepAlive);
  await socket.received("alive");
  return {
    look: async () => {
      const seen = socket.messages.length;
      await until(
        "another keep-alive",
        () => socket.messages.includes("alive", seen) || socket.closed !== undefined,
      );
      return lookAtSocket(stage, name, socket, { echoes: ["alive"] });
    },
  };
};

const passThrough =
  (path: string): Kind =>
  async (stage, name) => {
    const socket = await openSocket(stage, `${path}/${name}`);
    socket.send("echo before");
    await socket.received("echo before");
    return { look: () => lookAtSocket(stage, undefined, socket, { echoes: ["echo before"] }) };
  };

const passThroughWithGrip: Kind = async (stage, name) => {
  const socket = await openSocket(stage, `/grip/${name}`);
  await isSubscribed(stage, name);
  await stage.installation.publish(item(name, "before"));
  await socket.received("before");
  return { look: () => lookAtSocket(stage, name, socket) };
};

// SockJS

const sockJsSocket =
  (path: string): Kind =>
  async (stage, name) => {
    const socket = await openSocket(stage, `${path}/0/${name}/websocket`);
    await socket.received("o");
    return {
      look: async () => {
        if (socket.closed === undefined) socket.send('["echo"]');
        const frame = 'a["echo"]';
        await until("an echo", () => socket.messages.includes(frame) || socket.closed !== undefined);
        const outcome = closedOutcome(socket);
        if (outcome === undefined) expectText(socket.messages.join(), `o,${frame}`);
        socket.socket.terminate();
        return outcome ?? "goes on";
      },
    };
  };

const sockJsPoll =
  (path: string): Kind =>
  async ({ installation }, name) => {
    const url = `${installation.url}${path}/0/${name}`;
    const post = (path: string, body = "") =>
      answerOf(HttpStream.whole(`${url}/${path}`, { method: "POST", body }));
    expectText((await post("xhr")).text, "o\n");
    const poll = post("xhr");
    return {
      look: async () => {
        await post("xhr_send", '["echo"]');
        return outcomeOf(await poll, 'a["echo"]\n', 1);
      },
    };
  };

// Publishing

/** Numbers are published from the moment of the death on; everyone has to get all of them, in order. */
const fannedOut: Kind = async (stage, name) => {
  const streams: HttpStream[] = [];
  for (let i = 0; i < 20; i += 1) streams.push(await openStream(stage, name, streamHold(name)));
  const sockets: SocketClient[] = [];
  for (let i = 0; i < 10; i += 1) sockets.push(await openOverHttp(stage, name));
  let publishing: Promise<ReadonlySet<string>> | undefined;
  return {
    start: () => {
      publishing = publishNumbers(stage.installation, name);
    },
    look: async () => {
      const repeated = (await publishing) as ReadonlySet<string>;
      const last = `<${NUMBERS - 1}>`;
      for (const stream of streams) await firstOf(stream, last);
      for (const socket of sockets)
        await until(last, () => socket.messages.includes(last) || socket.closed !== undefined);
      const isCut =
        streams.some((one) => one.end !== undefined) || sockets.some((one) => one.closed !== undefined);
      for (const text of [...streams.map((one) => one.text), ...sockets.map((one) => one.messages.join(""))])
        if (!isCut) expectNumbers(text, repeated);
      for (const stream of streams) stream.close();
      for (const socket of sockets) socket.socket.terminate();
      return isCut ? "cut" : "goes on";
    },
  };
};

const NUMBERS = 50;

/** @returns those whose answer was lost, and which were published again */
async function publishNumbers(installation: Installation, channel: string): Promise<Set<string>> {
  const repeated = new Set<string>();
  for (let i = 0; i < NUMBERS; i += 1)
    for (let isDone = false; !isDone; ) {
      isDone = await installation.publish(item(channel, `<${i}>`)).then(
        () => true,
        () => !repeated.add(`<${i}>`),
      );
    }
  return repeated;
}

/** A number whose answer was lost may be there twice, and what came just before it may be missing. */
function expectNumbers(text: string, repeated: ReadonlySet<string>): void {
  const got = text.match(/<\d+>/g) ?? [];
  let next = 0;
  for (const [i, one] of got.entries()) {
    const number = Number(one.slice(1, -1));
    if (number === next - 1 && one === got[i - 1] && repeated.has(one)) continue;
    const missing = Array.from({ length: Math.max(0, number - next) }, (_, k) => `<${next + k}>`);
    const mayMiss = repeated.size > 0 && missing.length <= 3;
    if (number < next || (missing.length > 0 && !mayMiss)) throw new Error(`not in order: ${text}`);
    next = number + 1;
  }
}

export const KINDS = {
  "GET that waits for its backend": waiting("GET"),
  "PUT with a body that waits": waiting("PUT", "whole"),
  "POST with a body that waits": waiting("POST", "whole"),
  "POST without a body that waits": waiting("POST"),
  "PUT whose body is half there": uploading("PUT", HALF),
  "POST whose body is half there": uploading("POST", HALF),
  "POST whose body has just begun": uploading("POST", "x"),
  "response that has begun": begun,
  "streams that begin in this moment": arriving,
  "stream hold": plainStream,
  "stream hold with a gone link": goneLink,
  "stream whose next link is being asked": nextLink,
  "stream hold with keep-alives": keptAlive,
  "stream hold with filters": filtered,
  "stream hold with prev-ids": numbered,
  "long poll": longPoll,
  "long poll that times out": timingOut,
  "long poll that is asked again": retried,
  "WebSocket over HTTP": idleOverHttp,
  "… with a request under way": inFlight(),
  "… with messages that wait": inFlight("two", "three", "four"),
  "… that is closing": closing,
  "… that is detached": detached,
  "… with a delayed message": delayed,
  "… with keep-alives": keptAliveOverHttp,
  "WebSocket with a backend connection": passThrough("/plain"),
  "… that speaks GRIP": passThroughWithGrip,
  "… on a route with reconnect": passThrough("/again"),
  "SockJS over a WebSocket": sockJsSocket("/sockjs"),
  "SockJS over a WebSocket, the backend over HTTP": sockJsSocket("/sockjs-http"),
  "SockJS over polls": sockJsPoll("/sockjs"),
  "SockJS over polls, the backend over HTTP": sockJsPoll("/sockjs-http"),
  "what is published in this moment": fannedOut,
} satisfies Record<string, Kind>;

export type KindName = keyof typeof KINDS;
