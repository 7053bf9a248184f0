import { type PublishItem, parseItemList, type Receipt } from "@pushpin/grip";
import type { TnetInput, TnetMap } from "@pushpin/tnetstrings";
import { receiptCounts } from "./control-api.ts";
import type { RpcReply, RpcResult } from "@pushpin/zrpc";

/** Where the public ZeroMQ sockets are; absent ones are left out. */
export interface ZmqUris {
  readonly command: string | undefined;
  readonly publishPull: string | undefined;
  readonly publishSub: string | undefined;
}

export interface CommandTarget {
  publish(items: readonly PublishItem[]): void;
  publishWithReceipts(
    items: readonly PublishItem[],
    done: (receipts: readonly Receipt[]) => void,
  ): void;
  recover(): void;
  knows(id: string): boolean;
  /** Cids of the WebSockets that listen to a channel. */
  refreshChannel(channel: string): readonly string[];
  askProxy(method: string, args: TnetInput, done: (result: RpcResult) => void): void;
  readonly uris: ZmqUris;
}

type Reply = (reply: RpcReply) => void;
const DONE: RpcReply = { success: true, value: null };

/** One request on the command socket (handler.md 7.6). */
export function runCommand(
  target: CommandTarget,
  method: string,
  args: TnetMap,
  reply: Reply,
): void {
  switch (method) {
    case "publish": {
      const items = parseItemList(args, false);
      if (!items.ok) return reply(badRequest(items.error));
      if (args.get("receipt") === true)
        return target.publishWithReceipts(items.value, (receipts) =>
          reply({
            success: true,
            value: items.value.map((item, i) => receiptCounts(item, receipts[i] as Receipt)),
          }),
        );
      reply(DONE);
      return target.publish(items.value);
    }
    case "recover":
      target.recover();
      return reply(DONE);
    case "conncheck":
      return connCheck(target, args, reply);
    case "get-zmq-uris":
      return reply({
        success: true,
        value: {
          command: target.uris.command,
          "publish-pull": target.uris.publishPull,
          "publish-sub": target.uris.publishSub,
        },
      });
    case "refresh":
      return refresh(target, args, reply);
    default:
      return reply({ success: false, condition: "method-not-found" });
  }
}

/**
 * Joins what the workers of the proxy say to one answer. A connection is known to one of them:
 * lists are joined, and need all of them; for anything else one success is enough.
 */
export function collectReplies(
  workers: number,
  done: (result: RpcResult) => void,
): (result: RpcResult) => void {
  const results: RpcResult[] = [];
  return (result) => {
    results.push(result);
    if (results.length < workers) return;
    const [only] = results;
    if (workers === 1 && only !== undefined) {
      done(only);
      return;
    }
    const failed = results.find((one) => !one.success);
    const lists = results.flatMap((one) =>
      one.success && Array.isArray(one.value) ? one.value : [],
    );
    const other = results.find((one) => one.success && !Array.isArray(one.value));
    done(other ?? failed ?? { success: true, value: lists });
  };
}

function connCheck(target: CommandTarget, args: TnetMap, reply: Reply): void {
  const given = args.get("ids");
  if (!Array.isArray(given) || given.some((one) => typeof one !== "string"))
    return reply({ success: false, condition: "bad-request" });
  const ids = given as string[];
  const unknown = ids.filter((id) => !target.knows(id));
  const answer = (elsewhere: ReadonlySet<string>) =>
    reply({
      success: true,
      value: ids.filter((id) => target.knows(id) || elsewhere.has(id)),
    });
  if (unknown.length === 0) return answer(new Set());
  target.askProxy("conncheck", { ids: unknown }, (result) => {
    if (!result.success || !Array.isArray(result.value))
      reply({ success: false, condition: "proxy-request-failed" });
    else answer(new Set(result.value.filter((one) => typeof one === "string")));
  });
}

function refresh(target: CommandTarget, args: TnetMap, reply: Reply): void {
  const cid = args.get("cid");
  const channel = args.get("channel");
  if (typeof cid === "string") {
    target.askProxy("refresh", { cid }, (result) =>
      reply(result.success ? DONE : { success: false, condition: result.condition }),
    );
    return;
  }
  if (typeof channel !== "string") return reply({ success: false, condition: "bad-request" });
  for (const one of target.refreshChannel(channel))
    target.askProxy("refresh", { cid: one }, () => {});
  reply(DONE);
}

function badRequest(value: string): RpcReply {
  return { success: false, condition: "bad-request", value };
}
