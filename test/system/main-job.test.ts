import { type Backend, Installation } from "@pushpin/testkit";
import { afterAll, beforeAll, describe } from "vitest";
import { startGripBackend } from "../grip-backend.ts";
import { mainJobRoutes, testMainJob } from "../main-job.ts";

describe("given an installation started by one command", () => {
  let backend: Backend;
  let installation: Installation;

  beforeAll(async () => {
    backend = await startGripBackend();
    installation = await Installation.start({ routes: mainJobRoutes(backend.address) });
  });

  afterAll(async () => {
    await installation?.stop();
    await backend?.stop();
  });

  testMainJob(() => installation);
});
