import type { LogLevels } from "@pushpin/config";

export interface RunnerArguments {
  readonly config: string | undefined;
  readonly logfile: string | undefined;
  readonly levels: LogLevels | undefined;
  readonly mergeOutput: boolean;
  readonly port: string | undefined;
  readonly id: number | undefined;
  readonly routes: readonly string[];
}

export type ParsedRunner =
  | { readonly kind: "run"; readonly arguments: RunnerArguments }
  | { readonly kind: "exit"; readonly code: number; readonly text: string };
