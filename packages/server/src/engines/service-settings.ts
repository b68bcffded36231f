/** How a node reaches the etcd or ZooKeeper that keeps a log, from its settings. */
import { QuipuError } from "@quipu/core";
import { readText } from "../cell/cell-settings.ts";

export interface ServiceSettings {
  /** Instead of those that a chain names. */
  readonly endpoints: readonly string[] | undefined;
  readonly prefix: string | undefined;
  readonly user: { readonly name: string; readonly password: string } | undefined;
  /** PEM. */
  readonly tls: { readonly ca?: string; readonly cert?: string; readonly key?: string } | undefined;
}

type ServiceSettingName =
  | "endpoints"
  | "engine-prefix"
  | "engine-user"
  | "engine-password"
  | "engine-tls-certificate"
  | "engine-tls-key"
  | "engine-tls-ca";

/** Throws INVALID_CONFIGURATION for half a user or half a certificate. */
export function readServiceSettings(read: (name: ServiceSettingName) => string | undefined): ServiceSettings {
  const endpoints = read("endpoints")
    ?.split(",")
    .map((each) => each.trim())
    .filter((each) => each !== "");
  if (endpoints?.length === 0) throw refuse("--endpoints names nobody: expected host:port,host:port,...");
  const name = read("engine-user");
  const password = read("engine-password");
  if ((name === undefined) !== (password === undefined)) {
    throw refuse("--engine-user and QUIPU_ENGINE_PASSWORD go together: one of them is missing");
  }
  const pem = (setting: "engine-tls-certificate" | "engine-tls-key" | "engine-tls-ca"): string | undefined => {
    const file = read(setting);
    return file === undefined ? undefined : readText(file, setting === "engine-tls-key" ? "key" : "certificate");
  };
  const [ca, cert, key] = [pem("engine-tls-ca"), pem("engine-tls-certificate"), pem("engine-tls-key")];
  if ((cert === undefined) !== (key === undefined)) {
    throw refuse("--engine-tls-certificate and --engine-tls-key go together: one of them is missing");
  }
  const hasTls = ca !== undefined || cert !== undefined;
  return {
    endpoints,
    prefix: read("engine-prefix"),
    user: name === undefined || password === undefined ? undefined : { name, password },
    tls: hasTls
      ? {
          ...(ca === undefined ? {} : { ca }),
          ...(cert === undefined ? {} : { cert }),
          ...(key === undefined ? {} : { key }),
        }
      : undefined,
  };
}

function refuse(message: string): QuipuError {
  return new QuipuError("INVALID_CONFIGURATION", message);
}
