# One image for all processes: `docker run jobledger api`, `docker run jobledger worker` … (docs/containers.md).
# Nothing in it needs BuildKit; the classic builder makes the same image.

FROM python:3.13-slim AS build

# Another package index is told by build arguments, or by a file pip.conf (and pip-ca.pem) beside this one. All of that stays
# in this stage: neither the image nor its history knows of it.
ARG PIP_INDEX_URL
ARG PIP_EXTRA_INDEX_URL
ARG PIP_TRUSTED_HOST
ENV PIP_CONFIG_FILE=/build/pip.conf \
    PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_NO_CACHE_DIR=1 \
    PIP_ROOT_USER_ACTION=ignore

WORKDIR /build
RUN python -m venv /build/tools && python -m venv --without-pip /opt/jobledger

# First what rarely changes, in a layer of its own. The patterns match nothing where there is no such file.
COPY requirements-run.lock requirements-build.lock pip.con[f] pip-ca.pe[m] ./
RUN if [ -e pip-ca.pem ]; then export PIP_CERT=/build/pip-ca.pem; fi; \
    tools/bin/pip install --no-deps --require-hashes -r requirements-build.lock \
    && tools/bin/pip --python /opt/jobledger/bin/python install --no-deps --require-hashes -r requirements-run.lock

# Then the code, which is installed beside it: the final stage takes both as two layers.
COPY . source/
RUN tools/bin/pip wheel --no-deps --no-index --no-build-isolation --wheel-dir wheels ./source \
    && tools/bin/pip --python /opt/jobledger/bin/python install --no-deps --no-index --prefix /build/code wheels/*.whl


FROM python:3.13-slim

# No account and no directory belongs to this user but where the exports go, so that the containers may also run as any other.
RUN groupadd --gid 1000 jobledger \
    && useradd --uid 1000 --gid 1000 --home-dir /app --no-create-home --shell /usr/sbin/nologin jobledger \
    && install -d -o jobledger -g jobledger -m 0775 /app/output

COPY --from=build /opt/jobledger /opt/jobledger
COPY --from=build /build/code /opt/jobledger

ENV PATH=/opt/jobledger/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    OUTPUT_DIR=/app/output
WORKDIR /app
USER 1000:1000
ENTRYPOINT ["jobledger"]
CMD ["--help"]
