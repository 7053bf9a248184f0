export { type DaemonArguments, normaliseDashes, parseArguments } from "./arguments.ts";
export {
  type DaemonContext,
  type DaemonHandle,
  type DaemonOptions,
  packageVersion,
  runDaemon,
  STOP_TIMEOUT_MS,
} from "./daemon.ts";
