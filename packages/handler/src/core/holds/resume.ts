import type { Resumable } from "@pushpin/zhttp";
import type { RequestState } from "@pushpin/zrpc";
import type { Services } from "../services.ts";
import { decodeHoldAnchor } from "./anchor.ts";
import type { Hold } from "./hold.ts";
import { ResponseHold } from "./response-hold.ts";
import { StreamHold } from "./stream-hold.ts";

/** A hold of the process before us; `start` when it is known to everybody. Undefined: not readable. */
export function resumeHold(
  services: Services,
  resumable: Resumable,
  nowMs: number,
): { readonly hold: Hold; readonly start: () => void } | undefined {
  const anchor = decodeHoldAnchor(resumable.anchor);
  if (anchor === undefined) return undefined;
  const { peer, id, inSeq, outSeq, outCredits, routerResp } = resumable;
  // Not a spread: of what JSON.parse has made, a copy takes longer than reading it.
  const client: RequestState = Object.assign(anchor.client, {
    rid: { sender: peer, id },
    inSeq,
    outSeq,
    outCredits,
    routerResp: routerResp ?? false,
  });
  const { origin, implicit } = anchor;
  if (anchor.kind === "stream") {
    const { instruct, isChain = false } = anchor;
    const hold = new StreamHold(services, origin, client, instruct, isChain, implicit, nowMs);
    return { hold, start: () => hold.resume(nowMs) };
  }
  const hold = new ResponseHold(services, origin, client, anchor.instruct, implicit, nowMs);
  return { hold, start: () => hold.resume(anchor.dueWallMs, nowMs) };
}
