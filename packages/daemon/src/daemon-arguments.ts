/** What every process understands on its command line. */
export interface DaemonArguments {
  readonly config: string;
  readonly logfile: string | undefined;
  readonly loglevel: number;
  readonly ipcPrefix: string | undefined;
  readonly portOffset: number | undefined;
  readonly routes: readonly string[];
  /** Worker number, fixed for the life of a deployment. */
  readonly slot: number;
  readonly logJson: boolean;
}

export type ParsedArguments =
  | { readonly kind: "run"; readonly arguments: DaemonArguments }
  | { readonly kind: "exit"; readonly code: number; readonly text: string };

export const DEFAULT_CONFIG = "/etc/pushpin/pushpin.conf";
export const DEFAULT_LEVEL = 2;
export const LEVEL_MAX = 4;
