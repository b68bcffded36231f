/** The part of node-zookeeper-client 1.1.3 that we use; it comes without types. */
declare module "node-zookeeper-client" {
  export interface Stat {
    readonly version: number;
  }
  export class Exception extends Error {
    static readonly NODE_EXISTS: number;
    static readonly NO_NODE: number;
    static readonly BAD_VERSION: number;
    getCode(): number;
  }
  export interface Client {
    once(event: "connected", listener: () => void): this;
    connect(): void;
    close(): void;
    addAuthInfo(scheme: string, auth: Buffer): void;
    create(path: string, data: Buffer, callback: (error: Error | null) => void): void;
    getData(path: string, callback: (error: Error | null, data: Buffer, stat: Stat) => void): void;
    getChildren(path: string, callback: (error: Error | null, children: readonly string[]) => void): void;
    setData(path: string, data: Buffer, version: number, callback: (error: Error | null) => void): void;
    remove(path: string, version: number, callback: (error: Error | null) => void): void;
  }
  interface Module {
    createClient(connectionString: string, options?: { readonly sessionTimeout?: number }): Client;
    readonly Exception: typeof Exception;
  }
  const zookeeper: Module;
  export default zookeeper;
}
