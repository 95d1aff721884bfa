# syntax=docker/dockerfile:1
FROM python:3.13-slim AS build
WORKDIR /app
RUN pip install --no-cache-dir uv==0.13.9
COPY requirements.txt .
RUN python -m venv --without-pip /opt/venv \
    && uv pip sync --no-cache --compile-bytecode --python /opt/venv/bin/python requirements.txt
COPY . .
# Settings need values to be read at all; these end with this line.
RUN SECRET_KEY=build CREDENTIALS_KEYS=build DATABASE_URL=postgres://build REDIS_URL=redis://build \
    /opt/venv/bin/python manage.py collectstatic --no-input \
    && /opt/venv/bin/python -m compileall -q .

FROM python:3.13-slim
RUN useradd --system --uid 10001 --no-create-home --home-dir /app refunds
COPY --from=build /opt/venv /opt/venv
COPY --from=build /app /app
WORKDIR /app
ENV PATH=/opt/venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
USER refunds
EXPOSE 8000
# /dev/shm: gunicorn's heartbeat files must not wait for a disk.
CMD ["python", "-m", "gunicorn", "refunds_site.wsgi:application", "--bind", "0.0.0.0:8000", \
    "--workers", "2", "--worker-class", "gthread", "--threads", "8", "--preload", \
    "--worker-tmp-dir", "/dev/shm", "--no-control-socket", "--graceful-timeout", "20"]
