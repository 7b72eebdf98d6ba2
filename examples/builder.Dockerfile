# The builder of cloudbuild.yaml: the static binary and nothing else.
#   make static && docker build -f examples/builder.Dockerfile -t BUILDER target/static
FROM scratch
COPY modelcar /modelcar
ENTRYPOINT ["/modelcar"]
