export {
  Config,
  defaultLibDir,
  type EffectiveValue,
  type LoadOptions,
  loadConfig,
  SECTIONS,
  type UnknownKey,
  type WorkerIdentity,
} from "./config.ts";
export { ConfigError } from "./config-error.ts";
export { type Endpoints, endpoints, requireEndpoints, retryOfWorkers } from "./endpoints.ts";
export { type Environment, variableOf } from "./environment.ts";
export { type IniFile, parseIni, renderValue } from "./ini.ts";
export {
  type ListenAddress,
  type LocalAddress,
  parseLocalAddress,
  parseTcpAddress,
  setOwner,
  type TcpAddress,
} from "./listen-address.ts";
export { type LogLevels, levelOf, parseLogLevels, type Role, ROLE_NAMES } from "./log-level.ts";
export { nearestName } from "./nearest-name.ts";
export { type OptionKind, type OptionValue, readPlainOptions } from "./plain-options.ts";
export {
  copyName,
  groupCopies,
  inheritedListeners,
  notifyServiceManager,
  watchdogIntervalMs,
} from "./service-manager.ts";
export {
  connmgrSettings,
  type GlobalSettings,
  globalSettings,
  type RunnerSettings,
  runnerSettings,
} from "./settings/global.ts";
export { type HandlerSettings, handlerSettings } from "./settings/handler.ts";
export { type HttpclientSettings, httpclientSettings } from "./settings/httpclient.ts";
export { type ProxySettings, proxySettings } from "./settings/proxy.ts";
export {
  boolean,
  choice,
  integer,
  list,
  octal,
  optionalText,
  type Section,
  type Setting,
  type SettingsOf,
  section,
  text,
} from "./settings.ts";
export { type WorkerRole, workersOf } from "./workers.ts";
