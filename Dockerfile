# Two stages: the build, and an image that holds the program and its libraries, no compiler, no shell tools
# beyond Debian's own. It runs as a user without rights and needs no writable file but /var/lib/review-fetcher.
FROM debian:12-slim AS build
WORKDIR /src
COPY . .
RUN tools/install.sh /out

FROM debian:12-slim
RUN apt-get update \
 && apt-get install -y --no-install-recommends ca-certificates libcurl3-gnutls libjansson4 libmicrohttpd12 libpq5 librdkafka1 libsodium23 libsqlite3-0 \
 && rm -rf /var/lib/apt/lists/*
RUN useradd --system --uid 10001 --home-dir /var/lib/review-fetcher --create-home --shell /usr/sbin/nologin review-fetcher \
 && chmod 0700 /var/lib/review-fetcher
COPY --from=build /out/ /
ENV API_HOST=0.0.0.0 \
    TOKEN_MANAGEMENT_DATABASE_URL=sqlite:/var/lib/review-fetcher/review-fetcher.db \
    VAULT_KEY_FILE=/var/lib/review-fetcher/vault.key
USER 10001
VOLUME /var/lib/review-fetcher
EXPOSE 8084
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s CMD ["/usr/local/lib/review-fetcher/healthcheck"]
ENTRYPOINT ["/usr/local/bin/review-fetcher"]
CMD ["serve"]
