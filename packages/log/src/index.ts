export { LogFile, type LogOptions, openLog } from "./log-file.ts";
export {
  LEVEL_NAMES,
  LineLogger,
  type LogFields,
  type Logger,
  type LogLevel,
  memoryLog,
  renderTimestamp,
  silentLog,
} from "./logger.ts";
