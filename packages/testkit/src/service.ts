import { join } from "node:path";
import { TestProcess } from "./child-process.ts";
import { ROOT } from "./installation.ts";

export type ServiceName = "connmgr" | "httpclient" | "proxy" | "handler";

/** Starts one of our processes by itself, without a runner; does not wait for it. */
export function launchService(
  name: ServiceName,
  configFile: string,
  options: { readonly arguments?: readonly string[]; readonly cwd?: string } = {},
): TestProcess {
  return new TestProcess(
    name,
    [
      process.execPath,
      join(ROOT, `packages/${name}/bin/pushpin-${name}.js`),
      `--config=${configFile}`,
      ...(options.arguments ?? []),
    ],
    options.cwd === undefined ? {} : { cwd: options.cwd },
  );
}
