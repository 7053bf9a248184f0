export { Config, defaultLibDir, type LoadOptions, loadConfig, type UnknownKey } from "./config.ts";
export { ConfigError } from "./config-error.ts";
export { type Endpoints, endpoints } from "./endpoints.ts";
export { type IniFile, parseIni } from "./ini.ts";
export {
  type GlobalSettings,
  globalSettings,
  type RunnerSettings,
  runnerSettings,
} from "./settings/global.ts";
export { type HandlerSettings, handlerSettings } from "./settings/handler.ts";
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
