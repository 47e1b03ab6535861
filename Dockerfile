# c7n-secops with every extra. Pin the base by digest where you build:
#   docker build --build-arg BASE=python:3.12-slim-bookworm@sha256:... -t c7n-secops .
ARG BASE=python:3.12-slim-bookworm

FROM ${BASE} AS build
WORKDIR /src
COPY . .
# These two decide what is in a Lambda function's archive: drift is told against them.
ARG C7N=0.9.53
ARG C7N_ORG=0.6.52
RUN python -m venv /opt/c7n-secops \
 && python -m pip wheel --no-cache-dir --no-deps --wheel-dir /wheels . \
 && /opt/c7n-secops/bin/python -m pip install --no-cache-dir \
      "c7n==${C7N}" "c7n-org==${C7N_ORG}" \
      "c7n-secops[findings,fleet,logs,report,test] @ file://$(echo /wheels/c7n_secops-*.whl)"

FROM ${BASE}
COPY --from=build /opt/c7n-secops /opt/c7n-secops
RUN groupadd --gid 10001 custodian \
 && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /tmp custodian
ENV PATH=/opt/c7n-secops/bin:$PATH \
    HOME=/tmp \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
USER 10001:10001
# Your own image adds accounts.yml and policies.yml here.
WORKDIR /fleet
ENTRYPOINT ["c7n-secops"]
CMD ["--help"]
