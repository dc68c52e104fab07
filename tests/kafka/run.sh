#!/bin/bash
# Runs the end-to-end tests against one node of Apache Kafka itself (KRaft), so
# that nothing leans on the embedded broker's habits. Where Java 17 or Maven is
# missing there is nothing to run, and that is said.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-${TRIBUTARY_CACHE:-$HOME/.cache/tributary}/target}
for tool in java mvn; do
    if ! command -v "$tool" >/dev/null; then
        echo "test-kafka: skipped, there is no $tool (Debian: apt-get install default-jre-headless maven)"
        exit 0
    fi
done
major=$(java -version 2>&1 | sed -n 's/.*version "\([0-9]*\).*/\1/p')
if [ "${major:-0}" -lt 17 ]; then
    echo "test-kafka: skipped, Java is $major and Kafka 4 needs 17"
    exit 0
fi

lib="${TRIBUTARY_CACHE:-$HOME/.cache/tributary}/kafka-4.3.1"
if [ ! -f "$lib/.whole" ]; then
    echo "Fetching Apache Kafka 4.3.1 …"
    mvn -q -B -ntp -f "$here/pom.xml" org.apache.maven.plugins:maven-dependency-plugin:3.9.0:copy-dependencies \
        -DincludeScope=runtime -DoutputDirectory="$lib"
    touch "$lib/.whole"
fi

work=$(mktemp -d)
free_port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }
broker=$(free_port)
controller=$(free_port)
cat >"$work/server.properties" <<P
process.roles=broker,controller
node.id=1
listeners=PLAINTEXT://127.0.0.1:$broker,CONTROLLER://127.0.0.1:$controller
advertised.listeners=PLAINTEXT://127.0.0.1:$broker
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
inter.broker.listener.name=PLAINTEXT
controller.listener.names=CONTROLLER
controller.quorum.bootstrap.servers=127.0.0.1:$controller
log.dirs=$work/data
auto.create.topics.enable=false
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
group.initial.rebalance.delay.ms=0
log.segment.bytes=67108864
P
java_options=(-Dlog4j2.configurationFile="$here/log4j2.properties" -Dkafka.logs.file="$work/server.log")
java -Xmx256m "${java_options[@]}" -cp "$lib/*" kafka.tools.StorageTool format --standalone \
    --cluster-id MkU3OEVBNTcwNTJENDM2Qg --config "$work/server.properties" >"$work/format.log" 2>&1 ||
    { cat "$work/format.log" >&2; exit 1; }
java -Xms128m -Xmx768m -XX:+UseSerialGC "${java_options[@]}" -cp "$lib/*" kafka.Kafka "$work/server.properties" \
    >"$work/stdout.log" 2>&1 </dev/null &
kafka=$!
stop() {
    kill -TERM "$kafka" 2>/dev/null || true
    wait "$kafka" 2>/dev/null || true
    rm -rf "$work"
}
trap stop EXIT
for _ in $(seq 300); do
    grep -qs 'Kafka Server started' "$work/server.log" && break
    kill -0 "$kafka" 2>/dev/null || { cat "$work/stdout.log" >&2; exit 1; }
    sleep 0.1
done
echo "Apache Kafka 4.3.1 serves on 127.0.0.1:$broker"
export TRIBUTARY_TEST_BROKERS=127.0.0.1:$broker
cargo test --locked --workspace --test it -- --test-threads=2
