export { parseArguments } from "./arguments.ts";
export type { DaemonArguments } from "./daemon-arguments.ts";
export {
  type DaemonContext,
  type DaemonHandle,
  type DaemonOptions,
  LEAVE_MAX_MS,
  packageVersion,
  runDaemon,
  STOP_TIMEOUT_MS,
  untilQuiet,
} from "./daemon.ts";
