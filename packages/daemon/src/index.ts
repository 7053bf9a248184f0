export { type DaemonArguments, normaliseDashes, parseArguments } from "./arguments.ts";
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
