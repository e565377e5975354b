# Building needs only cargo and the C compiler that this image has.
FROM rust:1-bookworm AS build
WORKDIR /build
COPY . .
RUN cargo build --release --locked --bin fedgate

# glibc, libgcc and CA certificates; no shell. The user is 65532.
FROM gcr.io/distroless/cc-debian12:nonroot
COPY --from=build /build/target/release/fedgate /usr/bin/fedgate
EXPOSE 8080 9180
HEALTHCHECK --interval=10s --timeout=3s --start-period=5s CMD ["/usr/bin/fedgate", "health"]
ENTRYPOINT ["/usr/bin/fedgate"]
CMD ["serve", "--config", "/etc/fedgate/fedgate.yaml"]
