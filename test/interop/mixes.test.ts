import type { Backend } from "@pushpin/testkit";
import { afterAll, beforeAll, describe } from "vitest";
import { startGripBackend } from "../grip-backend.ts";
import { CERTIFICATE, KEY } from "../httpclient/certificate.ts";
import { mainJobRoutes, testMainJob } from "../main-job.ts";
import { Mix, leavesOutPeers, type Parts } from "./mix.ts";

const MIXES: readonly Parts[] = [
  { connmgr: "condure", core: "ours", httpclient: "ours" },
  { connmgr: "ours", core: "ours", httpclient: "zurl" },
  { connmgr: "ours", core: "pushpin-1.36", httpclient: "zurl" },
  { connmgr: "ours", core: "pushpin-1.36", httpclient: "ours" },
];

const isLeftOut = leavesOutPeers();

const TLS = { cert: CERTIFICATE, key: KEY };

for (const { tls, ...parts } of MIXES.flatMap((one) => [
  { ...one, tls: false },
  { ...one, tls: true },
]))
  describe.skipIf(isLeftOut)(
    `given ${parts.connmgr} -> ${parts.core} -> ${parts.httpclient}${tls ? ", TLS on both sides" : ""}`,
    () => {
      let backend: Backend;
      let mix: Mix;

      beforeAll(async () => {
        backend = await startGripBackend(tls ? { tls: TLS } : {});
        const target = tls ? `${backend.address},ssl,insecure` : backend.address;
        mix = await Mix.start({ ...parts, tls }, mainJobRoutes(target));
      });

      afterAll(async () => {
        await mix?.stop();
        await backend?.stop();
      });

      testMainJob(() => mix);
    },
  );
