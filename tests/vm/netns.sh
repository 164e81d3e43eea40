# Two network namespaces with a workload between them, sourced by tests/vm/tcp and peer-tcp: the client is 10.99.1.1, the server
# 10.99.1.2. Wants $work and $temp; the caller has `clean` called at its end.
# shellcheck shell=sh disable=SC2154
client=wtc$$ server=wts$$
ip=/usr/bin/ip
in_client() { $ip netns exec $client "$@"; }
in_server() { $ip netns exec $server "$@"; }
clean() {
  $ip netns del $client; $ip netns del $server
  rm -rf "$temp"
}
$ip netns add $client && $ip netns add $server || { echo "SKIP network namespaces"; exit 0; }
$ip link add wt0 netns $client type veth peer name wt0 netns $server
in_client $ip addr add 10.99.1.1/24 dev wt0
in_server $ip addr add 10.99.1.2/24 dev wt0
for ns in $client $server; do $ip -n $ns link set wt0 up; $ip -n $ns link set lo up; done

drop() { # RULE: what the server's side drops, counted
  printf 'table ip t { chain in { type filter hook input priority 0\n%s counter drop\n}\n}\n' "$1" >"$temp/rules"
  in_server nft -f "$temp/rules"
}
dropped() { in_server nft list chain ip t in | sed -n 's/.*counter packets \([0-9]*\).*/\1/p'; }
let_through() { in_server nft delete table ip t; }
counter() { # NAMESPACE NAME: of its /proc/net/snmp
  $ip netns exec "$1" cat /proc/net/snmp | awk -v name="$2" '/^Tcp:/ { if (!n) { for (i = 1; i <= NF; i++) if ($i == name) n = i } else print $n }'
}
until_listening() { for _ in $(seq 100); do grep -q listening "$temp/listening" && return; sleep 0.1; done; }
serve() { # as `work serve`
  : >"$temp/listening"
  in_server "$work" serve "$@" >"$temp/listening" & serving=$!
  until_listening
}
talk() { in_client "$work" talk "$@" >"$temp/talk"; }
