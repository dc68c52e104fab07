# The program alone; the engines are services of their own in docker-compose.yml.
FROM rust:1.95-bookworm AS build
RUN apt-get update && apt-get install -y --no-install-recommends cmake && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY . .
RUN cargo build --locked --release -p tributary

FROM debian:bookworm-slim
RUN apt-get update && apt-get install -y --no-install-recommends ca-certificates curl zlib1g \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --home-dir /var/lib/tributary --create-home tributary
COPY --from=build /src/target/release/tributary /usr/local/bin/tributary
USER tributary
VOLUME /var/lib/tributary
ENTRYPOINT ["tributary"]
