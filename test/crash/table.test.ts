import { Installation, type TestProcess } from "@pushpin/testkit";
import { describe, expect, test } from "vitest";
import { DEADLY_ENVIRONMENT, type Death, die, dying, type Victim, type Way } from "./table/deaths.ts";
import { GatedBackend } from "./table/gated-backend.ts";
import { type KindName, KINDS, type Live, type Outcome } from "./table/kinds.ts";

const ON = "goes on";
const AGAIN = "asked again";
const CUT = "cut";

/**
 * What becomes of each kind of client when a process dies, however it dies; `docs/crash-survival.md` says it in
 * words. The death of the runner, and `pushpin restart`, are noticed by nobody but those of `RESTART`.
 */
const TABLE: Readonly<Record<KindName, Readonly<Record<Exclude<Victim, "runner" | "everything">, Outcome | readonly Outcome[]>>>> = {
  "GET that waits for its backend": { handler: ON, proxy: AGAIN, httpclient: AGAIN, connmgr: CUT },
  "PUT with a body that waits": { handler: ON, proxy: AGAIN, httpclient: AGAIN, connmgr: CUT },
  "POST with a body that waits": { handler: ON, proxy: "502", httpclient: "502", connmgr: CUT },
  "POST without a body that waits": { handler: ON, proxy: "502", httpclient: "502", connmgr: CUT },
  "PUT whose body is half there": { handler: ON, proxy: AGAIN, httpclient: AGAIN, connmgr: CUT },
  "POST whose body is half there": { handler: ON, proxy: "502", httpclient: "502", connmgr: CUT },
  // 502 where the rest of it is sent to a proxy that is dead, and whose end is not yet known.
  "POST whose body has just begun": { handler: ON, proxy: [ON, "502"], httpclient: ON, connmgr: CUT },
  "response that has begun": { handler: ON, proxy: CUT, httpclient: CUT, connmgr: CUT },
  "streams that begin in this moment": { handler: ON, proxy: ON, httpclient: ON, connmgr: [ON, CUT] },
  "stream hold": { handler: ON, proxy: ON, httpclient: ON, connmgr: CUT },
  "stream hold with a gone link": { handler: ON, proxy: ON, httpclient: ON, connmgr: CUT },
  "stream whose next link is being asked": { handler: [ON, AGAIN], proxy: AGAIN, httpclient: AGAIN, connmgr: CUT },
  "stream hold with keep-alives": { handler: ON, proxy: ON, httpclient: ON, connmgr: CUT },
  "stream hold with filters": { handler: ON, proxy: ON, httpclient: ON, connmgr: CUT },
  "stream hold with prev-ids": { handler: ON, proxy: ON, httpclient: ON, connmgr: CUT },
  "long poll": { handler: ON, proxy: ON, httpclient: ON, connmgr: CUT },
  "long poll that times out": { handler: ON, proxy: ON, httpclient: ON, connmgr: CUT },
  "long poll that is asked again": { handler: ON, proxy: AGAIN, httpclient: AGAIN, connmgr: CUT },
  "WebSocket over HTTP": { handler: ON, proxy: ON, httpclient: ON, connmgr: CUT },
  "… with a request under way": { handler: ON, proxy: ON, httpclient: ON, connmgr: CUT },
  "… with messages that wait": { handler: ON, proxy: ON, httpclient: ON, connmgr: CUT },
  "… that is closing": { handler: ON, proxy: ON, httpclient: ON, connmgr: CUT },
  "… that is detached": { handler: ON, proxy: ON, httpclient: ON, connmgr: CUT },
  "… with a delayed message": { handler: ON, proxy: ON, httpclient: ON, connmgr: CUT },
  "… with keep-alives": { handler: ON, proxy: ON, httpclient: ON, connmgr: CUT },
  "WebSocket with a backend connection": { handler: ON, proxy: ON, httpclient: "1012", connmgr: CUT },
  "… that speaks GRIP": { handler: ON, proxy: ON, httpclient: "1012", connmgr: CUT },
  "… on a route with reconnect": { handler: ON, proxy: ON, httpclient: ON, connmgr: CUT },
  "SockJS over a WebSocket": { handler: ON, proxy: "1012", httpclient: "1012", connmgr: CUT },
  "SockJS over a WebSocket, the backend over HTTP": { handler: ON, proxy: ON, httpclient: ON, connmgr: CUT },
  "SockJS over polls": { handler: ON, proxy: "502", httpclient: "1012", connmgr: CUT },
  "SockJS over polls, the backend over HTTP": { handler: ON, proxy: "502", httpclient: ON, connmgr: CUT },
  "what is published in this moment": { handler: ON, proxy: ON, httpclient: ON, connmgr: CUT },
};

/** Of all others what is under way is finished first. */
const RESTART: Partial<Record<KindName, Outcome>> = {
  "WebSocket with a backend connection": "1012",
  "… that speaks GRIP": "1012",
  "SockJS over a WebSocket": "1012",
  "SockJS over polls": "1012",
  "SockJS over polls, the backend over HTTP": "502",
};

const WAYS: readonly Way[] = ["SIGKILL", "SIGSTOP", "exception", "memory limit"];
/** One that is stopped is noticed by its silence; a machine with much to do needs time to answer. */
const HANG_TIMEOUT_S = 5;
const DEATHS: readonly (readonly [string, Death])[] = [
  ...(["handler", "proxy", "httpclient", "connmgr"] as const).flatMap((victim) =>
    // A connection manager may be silent for a minute: its clients have nobody else.
    WAYS.filter((way) => victim !== "connmgr" || way !== "SIGSTOP").map((way) => [`the ${victim} dies (${way})`, { victim, way }] as const),
  ),
  ["the runner dies (SIGKILL)", { victim: "runner", way: "SIGKILL" }],
  ["everything is replaced (pushpin restart)", { victim: "everything", way: "pushpin restart" }],
  ...(["proxy", "httpclient", "connmgr"] as const).map(
    (victim) => [`one of two of the ${victim} dies (SIGKILL)`, { victim, way: "SIGKILL", slot: 1 }] as const,
  ),
];

/** Of all kinds, or of those whose names match, to look into one. */
const NAMES = (Object.keys(KINDS) as KindName[]).filter((name) =>
  new RegExp(process.env.PUSHPIN_TEST_CRASH_KINDS ?? "").test(name),
);

/** These have only so much time: they begin when all others are where they have to be. */
const LAST: readonly KindName[] = ["long poll that times out"];

/** What this death may do to this kind. */
function allowed(kind: KindName, { victim, slot }: Death): readonly Outcome[] {
  if (victim === "runner") return [ON];
  if (victim === "everything") return [RESTART[kind] ?? ON];
  const outcomes = [TABLE[kind][victim]].flat();
  return slot === undefined ? outcomes : [ON, ...outcomes];
}

describe.concurrent.each(DEATHS)("given clients of all kinds", (when, death) => {
  test(`when ${when}, then each fares as the table says`, async () => {
    const seen = await play(death);
    const wrong = seen.filter(({ kind, outcome }) => !allowed(kind, death).includes(outcome as Outcome));
    expect(wrong.map((one) => `${one.kind}: ${one.outcome}`)).toEqual([]);
    // With two workers there are clients of the one that lives.
    if (death.slot !== undefined) expect(seen.map(({ outcome }) => outcome)).toContain(ON);
  }, 120_000);
});

/** Sets up all kinds at once, lets one process die, and looks at each. */
async function play(death: Death): Promise<{ kind: KindName; outcome: string }[]> {
  const backend = await GatedBackend.start();
  let installation: Installation | undefined;
  let successor: TestProcess | undefined;
  try {
    installation = await Installation.start({
      routes: [
        `*,path_beg=/sockjs,sockjs=/sockjs,sockjs_as_path=/plain/sockjs ${backend.address}`,
        `*,path_beg=/sockjs-http,sockjs=/sockjs-http,sockjs_as_path=/woh/sockjs ${backend.address},over_http`,
        `*,path_beg=/plain ${backend.address}`,
        `*,path_beg=/again,reconnect ${backend.address}`,
        `*,path_beg=/grip ${backend.address}`,
        `* ${backend.address},over_http`,
      ],
      config: {
        runner: {
          ...(death.slot === undefined ? {} : { workers: 2 }),
          ...(death.way === "SIGSTOP" ? { hang_timeout: HANG_TIMEOUT_S } : {}),
        },
        // Otherwise polls go back to the backend a second after they were held.
        handler: { update_on_first_subscription: "false" },
      },
      env: DEADLY_ENVIRONMENT,
    });
    const stage = { installation, backend };
    const copies = death.slot === undefined ? 1 : 3;
    const bring = (names: readonly KindName[]) =>
      Promise.all(
        names.flatMap((kind) =>
          Array.from({ length: copies }, async (_, copy) => ({
            kind,
            live: await KINDS[kind](stage, `k${NAMES.indexOf(kind)}-${copy}`),
          })),
        ),
      );
    const lives: { kind: KindName; live: Live }[] = await bring(NAMES.filter((one) => !LAST.includes(one)));
    lives.push(...(await bring(NAMES.filter((one) => LAST.includes(one)))));
    const over = die(installation, death);
    for (const { live } of lives) live.start?.();
    // What is under way is finished before a process is replaced, if its backend answers.
    if (death.way === "pushpin restart") {
      await dying(installation, death);
      backend.releaseAll();
      for (const { live } of lives) live.finish?.();
    }
    successor = await over;
    return await Promise.all(
      lives.map(async ({ kind, live }) => ({
        kind,
        outcome: await live.look().catch((error: unknown) => (error as Error).message),
      })),
    );
  } finally {
    if (process.env.PUSHPIN_TEST_CRASH_KINDS) console.log(installation?.runner.output);
    await successor?.stop();
    await installation?.stop();
    await backend.stop();
  }
}
