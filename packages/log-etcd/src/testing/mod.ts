/** For tests here and elsewhere: clusters of real etcd members on the loopback. */
export { type EtcdMembers, type EtcdMembersOptions, hasEtcd, startEtcdMembers } from "./etcd-members.ts";
