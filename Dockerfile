# Building needs only cargo and the C compiler that this image has.
FROM rust:1-bookworm AS build
WORKDIR /build
# The dependencies in a layer of their own, which changes with the lock file only: the crate is empty in it, but has the
# targets that the manifest names.
COPY Cargo.toml Cargo.lock ./
RUN mkdir src benches \
    && touch src/lib.rs $(sed -n '/^\[\[bench\]\]/{n;s|^name = "\(.*\)"|benches/\1.rs|p}' Cargo.toml) \
    && echo 'fn main() {}' > src/main.rs \
    && cargo build --profile dist --locked --bin fedgate \
    && rm -r src benches target/dist/.fingerprint/fedgate-*
COPY . .
RUN cargo build --profile dist --locked --bin fedgate
# For the registry: writable by the image's user, and by any other user of group 0, as OpenShift makes them up.
RUN install -d -m 0770 /image/var/lib/fedgate
# Of the libraries of a C compiler, the one that the binary needs, in the directory of this architecture.
RUN library=$(ldd target/dist/fedgate | sed -n 's/.*libgcc_s.so.1 => \([^ ]*\) .*/\1/p') \
    && install -D "$library" "/libraries$library"

# glibc and CA certificates; no shell.
FROM gcr.io/distroless/base-nossl-debian12
COPY --from=build /libraries/lib/ /lib/
COPY --from=build /build/target/dist/fedgate /usr/bin/fedgate
COPY --from=build --chown=65532:0 /image/var/lib/ /var/lib/
USER 65532:65532
VOLUME ["/var/lib/fedgate"]
EXPOSE 8080 9180
HEALTHCHECK --interval=10s --timeout=5s --start-period=10s CMD ["/usr/bin/fedgate", "health"]
ENTRYPOINT ["/usr/bin/fedgate"]
CMD ["serve", "--config", "/etc/fedgate/fedgate.yaml"]
